use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(bus = domain)]
async fn a(_event: &OrderCreated) {}

#[subscribe(bus = "Domain")]
async fn b(_event: &OrderCreated) {}

fn main() {}
