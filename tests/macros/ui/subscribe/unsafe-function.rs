use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe]
async unsafe fn count(_event: &OrderCreated) {}

fn main() {}
