use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(ordered = "process", concurrency = 4)]
async fn a(_event: &OrderCreated) {}

#[subscribe(ordered = "service", broadcast)]
async fn b(_event: &OrderCreated) {}

fn main() {}
