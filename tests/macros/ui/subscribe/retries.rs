use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(retries = 3)]
async fn a(_event: &OrderCreated) {}

#[subscribe(retry(attempt = 3, max = "1m"))]
async fn b(_event: &OrderCreated) {}


fn main() {}
