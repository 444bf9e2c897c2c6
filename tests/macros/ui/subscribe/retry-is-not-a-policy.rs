use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(retry)]
async fn a(_event: &OrderCreated) {}

#[subscribe(retry = "2s")]
async fn b(_event: &OrderCreated) {}

#[subscribe(retry(backoff = "linear", jitter = 1))]
async fn c(_event: &OrderCreated) {}

fn main() {}
