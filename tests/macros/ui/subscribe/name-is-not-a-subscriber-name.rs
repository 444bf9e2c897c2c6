use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(name = "send mail")]
async fn a(_event: &OrderCreated) {}

#[subscribe(name = "")]
async fn b(_event: &OrderCreated) {}

fn main() {}
