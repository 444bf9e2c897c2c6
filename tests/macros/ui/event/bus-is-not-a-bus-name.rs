use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(bus = "Domain")]
struct A;

#[derive(Serialize, Deserialize, Event)]
#[event(bus = "orders-eu")]
struct B;

#[derive(Serialize, Deserialize, Event)]
#[event(bus = "")]
struct C;

fn main() {}
