use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Changed<T> {
    new: T,
}

#[derive(Serialize, Deserialize, Event)]
struct Block<const N: usize>;

fn main() {}
