use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(key)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
