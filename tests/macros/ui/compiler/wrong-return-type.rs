use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

struct MailError;

#[subscribe]
async fn a(_event: &OrderCreated) -> bool {
    true
}

#[subscribe]
async fn b(_event: &OrderCreated) -> Result<(), MailError> {
    Ok(())
}

#[subscribe]
async fn c(_event: &OrderCreated) -> Result<u64, std::io::Error> {
    Ok(1)
}

fn main() {}
