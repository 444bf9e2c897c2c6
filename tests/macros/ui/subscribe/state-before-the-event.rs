use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[derive(Clone)]
struct Mailer;

#[subscribe]
async fn send_mail(State(_mailer): State<Mailer>, _event: &OrderCreated) {}

#[subscribe]
async fn audit(_context: Context, _event: &OrderCreated) {}

fn main() {}
