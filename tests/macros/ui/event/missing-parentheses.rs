use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event]
struct A;

#[derive(Serialize, Deserialize, Event)]
#[event = "order.created"]
struct B;

#[derive(Serialize, Deserialize, Event)]
struct C {
    #[event]
    id: String,
}

fn main() {}
