use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(retry = 1)]
async fn a(_event: &OrderCreated) {}

#[subscribe(retry(attempts = 0))]
async fn b(_event: &OrderCreated) {}

#[subscribe(retry = 1001)]
async fn c(_event: &OrderCreated) {}

fn main() {}
