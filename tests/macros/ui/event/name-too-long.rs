use aury_events::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.order.created")]
struct OrderCreated;

fn main() {}
