use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(retry_if = |error| error.is_interrupted())]
async fn a(_event: &OrderCreated) -> Result<(), std::io::Error> {
    Ok(())
}

fn main() {}
