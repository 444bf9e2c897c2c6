use std::sync::Arc;

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(batch = 0)]
async fn none(_events: &[Arc<OrderCreated>]) {}

#[subscribe(batch(max = 1, wait = "50"))]
async fn one(_events: Vec<OrderCreated>) {}

#[subscribe(batch(size = 10))]
async fn sized(_events: Vec<OrderCreated>) {}

#[subscribe(batch)]
async fn by_itself(_events: Vec<OrderCreated>) {}

#[subscribe(max = 10)]
async fn outside(_event: &OrderCreated) {}

fn main() {}
