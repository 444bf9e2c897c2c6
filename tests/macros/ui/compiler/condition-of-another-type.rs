use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct OrderCreated;

fn is_long(text: &String) -> bool {
    text.len() > 10
}

#[subscribe(when = is_long)]
async fn confirm(_: &OrderCreated) {}

fn main() {}
