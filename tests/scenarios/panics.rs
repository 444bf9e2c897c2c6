//! Panics outside of handlers: in what an event or an error brings along, and in what writes the log. The subscriber goes
//! on.

use std::{borrow::Cow, fmt, sync::Arc};

use aury_events::{EventKey, prelude::*};
use serde::{Deserialize, Serialize};

use crate::{
    panicking::PanicsOver,
    seen_spans::listen,
    support::{Log, in_time, manager_of},
};

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Trap {
    None,
    /// Its handler fails with an error that cannot be printed.
    Error,
    Fails,
    Key,
    Drop,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "panics.order_created")]
struct OrderCreated {
    trap: Trap,
    #[event(key)]
    key: Key,
}

#[derive(Serialize, Deserialize)]
struct Key(Trap);

impl EventKey for Key {
    fn event_key(&self) -> Option<Cow<'_, str>> {
        assert!(self.0 != Trap::Key, "no key");
        Some("k".into())
    }
}

impl Drop for OrderCreated {
    fn drop(&mut self) {
        assert!(self.trap != Trap::Drop || std::thread::panicking(), "no end");
    }
}

#[derive(Debug)]
struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Unprintable {}

fn handle(event: &OrderCreated, log: &Log, name: &str) -> Result<(), aury_events::BoxError> {
    log.add(name);
    match event.trap {
        Trap::Error => Err(Unprintable.into()),
        Trap::Fails => Err("no".into()),
        _ => Ok(()),
    }
}

#[subscribe]
async fn alone(event: &OrderCreated, State(log): State<Log>) -> Result<(), aury_events::BoxError> {
    handle(event, &log, "alone")
}

#[subscribe(ordered, concurrency = 2)]
async fn ordered(
    event: &OrderCreated,
    State(log): State<Log>,
) -> Result<(), aury_events::BoxError> {
    handle(event, &log, "ordered")
}

#[subscribe(batch(max = 2, wait = "1ms"))]
async fn batch(
    events: &[Arc<OrderCreated>],
    State(log): State<Log>,
) -> Result<(), aury_events::BoxError> {
    handle(&events[0], &log, "batch")
}

fn order(trap: Trap) -> OrderCreated {
    OrderCreated { trap, key: Key(trap) }
}

/// What all subscribers do when this is published, and then an order without a trap; and their dead letters.
async fn after(trap: Trap) -> (Vec<String>, Vec<String>) {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    let event = Arc::new(order(trap));
    bus.publish(Arc::clone(&event)).await.unwrap();
    drop(event);
    in_time(bus.settled()).await;
    bus.publish(order(Trap::None)).await.unwrap();
    in_time(bus.settled()).await;
    let letters = bus.dead_letters().list().await.unwrap();
    (log.sorted(), letters.into_iter().map(|letter| letter.reason).collect())
}

const TWICE: [&str; 6] = ["alone", "alone", "batch", "batch", "ordered", "ordered"];

#[tokio::test]
async fn an_error_that_cannot_be_printed_is_a_dead_letter() {
    let (log, letters) = after(Trap::Error).await;
    assert_eq!(log, TWICE);
    let reason = "the handler failed: the error cannot be printed: the handler panicked: no words";
    assert_eq!(letters, [reason; 3]);
}

#[tokio::test]
async fn an_event_whose_key_panics_is_handled() {
    assert_eq!(after(Trap::Key).await, (TWICE.map(str::to_owned).to_vec(), Vec::new()));
}

#[tokio::test]
async fn an_event_whose_drop_panics_stops_nobody() {
    assert_eq!(after(Trap::Drop).await, (TWICE.map(str::to_owned).to_vec(), Vec::new()));
}

#[tokio::test]
async fn a_log_that_panics_stops_nobody() {
    let panics = PanicsOver::new("kept as a dead letter", 3);
    let _listening = listen(&panics.subscriber());
    let (log, letters) = after(Trap::Fails).await;
    assert!(panics.has_panicked());
    // What was in hand then was given back, and is handled once more.
    assert_eq!(log.len(), TWICE.len() + 3, "{log:?}");
    assert_eq!(letters, ["the handler failed: no"; 3]);
}
