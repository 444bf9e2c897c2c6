use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe]
async fn count(_event: &OrderCreated) {
    let total = std::rc::Rc::new(1);
    tokio::task::yield_now().await;
    drop(total);
}

fn main() {}
