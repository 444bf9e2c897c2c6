use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order.created" version = 2)]
struct OrderCreated;

fn main() {}
