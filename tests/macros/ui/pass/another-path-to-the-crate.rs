//! A crate that offers aury-events under a name of its own.

mod framework {
    pub use aury_events as events;
}

use framework::events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(crate = crate::framework::events)]
struct OrderCreated {
    #[event(key)]
    order_id: String,
}

#[subscribe(crate = crate::framework::events, when = |event| !event.order_id.is_empty())]
async fn count(_event: OrderCreated, _total: State<u64>) {}

#[subscribe(crate = crate::framework::events, pattern = "#")]
async fn audit(_event: &AnyEvent) {}

fn main() {}
