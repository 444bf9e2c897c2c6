use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(version = 0)]
struct A;

#[derive(Serialize, Deserialize, Event)]
#[event(version = 5_000_000_000)]
struct B;

#[derive(Serialize, Deserialize, Event)]
#[event(version = "2")]
struct C;

#[derive(Serialize, Deserialize, Event)]
#[event(version = -1)]
struct D;

fn main() {}
