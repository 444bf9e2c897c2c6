//! Subscribers that fail.

use std::fmt;

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

use crate::support::{Log, in_time, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "failures.order_created")]
struct OrderCreated {
    number: u32,
}

#[derive(Debug)]
struct CardRefused(std::num::ParseIntError);

impl fmt::Display for CardRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the card was refused")
    }
}

impl std::error::Error for CardRefused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[subscribe]
async fn fails(_: &OrderCreated) -> Result<(), CardRefused> {
    Err(CardRefused("x".parse::<u8>().unwrap_err()))
}

#[subscribe]
async fn panics(event: &OrderCreated) {
    tokio::task::yield_now().await;
    panic!("no stock for {}", event.number);
}

#[subscribe]
async fn hangs(_: &OrderCreated) {
    std::future::pending().await
}

#[subscribe]
async fn works(event: &OrderCreated, State(log): State<Log>) {
    log.add(event.number.to_string());
}

#[tokio::test]
async fn failing_panicking_and_hanging_subscribers_hold_back_nobody() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    for number in 0..100 {
        bus.publish(OrderCreated { number }).await.unwrap();
    }
    in_time(async {
        while log.entries().len() < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let numbers: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(log.entries(), numbers);
}

#[tokio::test]
async fn what_fails_ends_as_a_dead_letter_with_its_reason() {
    let (builder, _) = manager_of(module_path!());
    let globs = format!("{}::fails,{0}::panics", module_path!());
    let bus = builder.subscribers(globs).start().await.unwrap().default_bus();
    let id = bus.publish(OrderCreated { number: 7 }).await.unwrap();
    in_time(bus.settled()).await;

    let mut letters = bus.dead_letters().list().await.unwrap();
    letters.sort_by_key(|letter| letter.subscriber.clone());
    let reasons: Vec<_> = letters.iter().map(|letter| &letter.reason[..]).collect();
    assert_eq!(
        reasons,
        [
            "the handler failed: the card was refused: invalid digit found in string",
            "the handler panicked: no stock for 7"
        ]
    );
    assert!(letters.iter().all(|letter| letter.envelope.metadata().id() == id));
    assert!(letters.iter().all(|letter| letter.attempts == 1));
    assert_eq!(&*letters[0].subscriber, concat!(module_path!(), "::fails"));
}
