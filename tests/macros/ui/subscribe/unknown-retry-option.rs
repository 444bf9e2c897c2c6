use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(retry(tries = 3, dealy = "2s", delay = "1s", delay = "2s"))]
async fn a(_event: &OrderCreated) {}

#[subscribe(retry(timeout = "30s"))]
async fn b(_event: &OrderCreated) {}

#[subscribe(retry = 3, delay = "2s")]
async fn c(_event: &OrderCreated) {}

fn main() {}
