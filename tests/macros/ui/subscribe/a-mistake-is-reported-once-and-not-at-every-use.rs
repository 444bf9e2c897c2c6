use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(bus = "Domain")]
async fn count(_event: &OrderCreated) {}

async fn count_twice(event: &OrderCreated) {
    count(event).await;
    count(event).await;
}

fn main() {}
