use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(retry = 3, retry_if = |_| true)]
async fn a(_event: &OrderCreated) {}

#[subscribe(retry = 3, retry_if = |_| true)]
async fn b(_event: &OrderCreated) -> () {}

fn main() {}
