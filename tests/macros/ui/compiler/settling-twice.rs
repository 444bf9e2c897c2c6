use aury_events::{Receipt, prelude::*};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe]
async fn confirm(_event: &OrderCreated, receipt: Receipt) -> Result<(), aury_events::BackendFailure> {
    receipt.ack().await?;
    receipt.dead_letter("and once more").await
}

fn main() {}
