use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = order.created)]
struct A;

#[derive(Serialize, Deserialize, Event)]
#[event(name("order.created"))]
struct B;

#[derive(Serialize, Deserialize, Event)]
#[event(name: "order.created")]
struct C;

#[derive(Serialize, Deserialize, Event)]
#[event(name = 7)]
struct D;

fn main() {}
