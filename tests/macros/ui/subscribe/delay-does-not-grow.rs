use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(retry(factor = 2.0, max_delay = "1m"))]
async fn a(_event: &OrderCreated) {}

#[subscribe(retry(backoff = "exponential", factor = 0.5, max_delay = "1s"))]
async fn b(_event: &OrderCreated) {}

#[subscribe(retry(backoff = "exponential", delay = "0s"))]
async fn c(_event: &OrderCreated) {}

#[subscribe(retry(backoff = "exponential", delay = "2m"))]
async fn d(_event: &OrderCreated) {}

fn main() {}
