use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order created", version = 0, bus = "Domain", id = 7)]
struct OrderCreated {
    #[event(key)]
    order_id: String,
    #[event(kye)]
    user_id: String,
}

fn main() {}
