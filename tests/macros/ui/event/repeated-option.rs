use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order.created", name = "order.placed")]
struct A;

#[derive(Serialize, Deserialize, Event)]
#[event(version = 2)]
#[event(version = 3)]
struct B;

fn main() {}
