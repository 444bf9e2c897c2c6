use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Order;

#[subscribe]
async fn count(_event: &Order) {}

fn main() {}
