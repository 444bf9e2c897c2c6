use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[derive(Debug)]
struct MailError;

fn is_interrupted(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::Interrupted
}

#[subscribe(retry = 3, retry_if = is_interrupted)]
async fn a(_event: &OrderCreated) -> Result<(), std::fmt::Error> {
    Ok(())
}

#[subscribe(retry = 3, retry_if = |error| error.kind())]
async fn b(_event: &OrderCreated) -> Result<(), std::io::Error> {
    Ok(())
}

#[subscribe(retry = 3, retry_if = |_| true)]
async fn c(_event: &OrderCreated) -> Result<(), MailError> {
    Ok(())
}

#[subscribe(retry = 3, retry_if = |_| true)]
async fn d(_event: &OrderCreated) -> bool {
    true
}

fn main() {}
