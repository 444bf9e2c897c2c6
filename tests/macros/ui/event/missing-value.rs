use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name)]
struct A;

#[derive(Serialize, Deserialize, Event)]
#[event(version =)]
struct B;

fn main() {}
