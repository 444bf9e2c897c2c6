use std::sync::Arc;

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(batch = 100)]
async fn one(_event: &OrderCreated) {}

#[subscribe(batch(max = 100))]
async fn slice_of_events(_events: &[OrderCreated]) {}

#[subscribe(batch(wait = "50ms"))]
async fn lent_vector(_events: &Vec<Arc<OrderCreated>>) {}

#[subscribe(batch = 100)]
async fn shared(_event: Arc<OrderCreated>) {}

fn main() {}
