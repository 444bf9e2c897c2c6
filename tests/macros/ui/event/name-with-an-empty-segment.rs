use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = ".order.created")]
struct A;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order.created.")]
struct B;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order..created")]
struct C;

fn main() {}
