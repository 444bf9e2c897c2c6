use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(pattern = "order.*", concurrency = 16, ordered)]
async fn a(_event: &AnyEvent) {}

fn main() {}
