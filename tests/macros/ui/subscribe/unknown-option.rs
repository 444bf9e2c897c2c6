use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(buss = "domain")]
async fn a(_event: &OrderCreated) {}

#[subscribe(topic = "order.created")]
async fn b(_event: &OrderCreated) {}

#[subscribe(OrderCreated)]
async fn c(_event: &OrderCreated) {}

#[subscribe("order.created")]
async fn d(_event: &OrderCreated) {}

fn main() {}
