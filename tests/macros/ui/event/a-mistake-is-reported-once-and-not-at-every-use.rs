use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order..created")]
struct OrderCreated;

#[subscribe]
async fn count(_event: &OrderCreated) {}

fn name(event: &OrderCreated) -> &'static str {
    event.event_name()
}

fn main() {}
