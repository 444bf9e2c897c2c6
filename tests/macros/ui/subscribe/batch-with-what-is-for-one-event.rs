use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(batch = 100, concurrency = 4, ordered)]
async fn in_order(_events: Vec<OrderCreated>) {}

#[subscribe(batch = 100, idempotent)]
async fn once(_events: Vec<OrderCreated>) {}

#[subscribe(batch = 100, pattern = "order.*")]
async fn any(_events: Vec<AnyEvent>) {}

fn main() {}
