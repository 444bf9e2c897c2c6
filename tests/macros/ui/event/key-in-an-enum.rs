use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
enum OrderChanged {
    Paid {
        #[event(key)]
        order_id: String,
    },
    #[event(name = "order.shipped")]
    Shipped,
}

fn main() {}
