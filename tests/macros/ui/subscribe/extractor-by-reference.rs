use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe]
async fn count(_event: &OrderCreated, _total: &State<u64>, _context: &mut Context) {}

fn main() {}
