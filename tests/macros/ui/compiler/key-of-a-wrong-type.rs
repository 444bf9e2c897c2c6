use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct OrderCreated {
    #[event(key)]
    amount: f64,
}

fn main() {}
