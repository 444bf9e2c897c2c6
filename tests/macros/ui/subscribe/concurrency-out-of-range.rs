use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(concurrency = 0)]
async fn a(_event: &OrderCreated) {}

#[subscribe(concurrency = 65536)]
async fn b(_event: &OrderCreated) {}

fn main() {}
