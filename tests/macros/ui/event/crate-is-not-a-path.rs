use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(crate = "aury_events")]
struct OrderCreated;

fn main() {}
