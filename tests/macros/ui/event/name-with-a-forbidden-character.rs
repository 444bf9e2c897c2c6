use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order created")]
struct OrderCreated;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "commandé.créée")]
struct CommandeCreee;

fn main() {}
