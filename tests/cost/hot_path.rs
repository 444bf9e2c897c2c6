//! Publishes events to one subscriber on the memory backend: what `tests/cost` counts instructions of.
//!
//! `hot_path stream N` publishes one after the other, as a producer does; `hot_path ping-pong N` waits for the handler
//! of each before it publishes the next.

use std::cell::Cell;

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order.created")]
struct OrderCreated {
    order_id: u64,
    amount: f64,
    items: u32,
}

thread_local! {
    static REVENUE: Cell<f64> = const { Cell::new(0.0) };
}

#[subscribe]
async fn count(event: &OrderCreated) {
    REVENUE.set(REVENUE.get() + event.amount * f64::from(event.items) + event.order_id as f64);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aury_events::Error> {
    let mut arguments = std::env::args().skip(1);
    let ping_pong = arguments.next().as_deref() == Some("ping-pong");
    let events: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(10_000);

    let manager = EventBusManager::builder().start().await?;
    let bus = manager.default_bus();
    for order_id in 0..events {
        bus.publish(OrderCreated { order_id, amount: 1.0, items: 2 }).await?;
        if ping_pong {
            tokio::task::yield_now().await;
        }
    }
    bus.settled().await;
    assert!(events == 0 || REVENUE.get() > 0.0);
    manager.shutdown().await?;
    Ok(())
}
