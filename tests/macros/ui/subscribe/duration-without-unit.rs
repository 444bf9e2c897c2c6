use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(timeout = "30")]
async fn a(_event: &OrderCreated) {}

#[subscribe(timeout = 30)]
async fn b(_event: &OrderCreated) {}

#[subscribe(retry(delay = "1.5s"))]
async fn c(_event: &OrderCreated) {}

#[subscribe(timeout = "five minutes")]
async fn d(_event: &OrderCreated) {}

fn main() {}
