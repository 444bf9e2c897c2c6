use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe]
async extern "C" fn count(_event: &OrderCreated) {}

fn main() {}
