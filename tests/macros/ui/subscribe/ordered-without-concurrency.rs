use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(ordered)]
async fn a(_event: &OrderCreated) {}

#[subscribe(ordered, concurrency = 1)]
async fn b(_event: &OrderCreated) {}

fn main() {}
