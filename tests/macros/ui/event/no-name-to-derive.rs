use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Event_;

#[derive(Serialize, Deserialize, Event)]
struct Prüfung;

fn main() {}
