use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe]
async fn two(_events: (OrderCreated, OrderCreated)) {}

#[subscribe]
async fn twice(_event: &&OrderCreated) {}

#[subscribe]
async fn for_ever(_event: &'static OrderCreated) {}

#[subscribe]
async fn borrowed_arc(_event: &std::sync::Arc<OrderCreated>) {}

#[subscribe]
async fn dynamic(_event: &dyn Send) {}

fn main() {}
