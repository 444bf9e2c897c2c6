use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(topic = "order.created")]
struct A;

#[derive(Serialize, Deserialize, Event)]
#[event(nmae = "order.created")]
struct B;

#[derive(Serialize, Deserialize, Event)]
#[event("order.created")]
struct C;

fn main() {}
