use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(broadcast, idempotent)]
async fn forget(_event: &OrderCreated) {}

fn main() {}
