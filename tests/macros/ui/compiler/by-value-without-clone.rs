use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe]
async fn count(_event: OrderCreated) {}

fn main() {}
