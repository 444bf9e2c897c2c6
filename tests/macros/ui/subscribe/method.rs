use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

struct Statistics;

impl Statistics {
    #[subscribe]
    async fn count(&self, _event: &OrderCreated) {}
}

fn main() {}
