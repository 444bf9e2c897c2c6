use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

struct Mailer;

#[subscribe]
async fn send_mail(_event: &OrderCreated, State(_mailer): State<Mailer>) {}

fn main() {}
