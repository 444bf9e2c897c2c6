use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(bus = "Domain", durable = 1, retry = 1)]
fn count<T>(_event: &mut OrderCreated, _total: &State<u64>) {}

fn main() {}
