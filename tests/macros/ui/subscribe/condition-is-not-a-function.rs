use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(when = event.amount > 100.0)]
async fn count(_event: &OrderCreated) {}

fn main() {}
