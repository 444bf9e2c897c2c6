use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct OrderCreated<'a> {
    order_id: &'a str,
}

fn main() {}
