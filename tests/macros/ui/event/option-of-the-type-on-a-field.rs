use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct OrderCreated {
    #[event(key, name = "order.created")]
    order_id: String,
}

fn main() {}
