use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(pattern = "order.*")]
async fn audit(_event: AnyEvent) {}

#[subscribe(pattern = "order.*")]
async fn archive(_event: std::sync::Arc<AnyEvent>) {}

fn main() {}
