use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(timeout = "0s")]
async fn a(_event: &OrderCreated) {}

#[subscribe(retry(delay = "9000h"))]
async fn b(_event: &OrderCreated) {}

fn main() {}
