//! Subscribers that pause when they keep failing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use aury_events::{CircuitBreaker, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::support::{Log, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "circuit_breakers.ordered")]
struct Ordered(u32);

#[derive(Clone, Copy)]
struct Start(Instant);

/// Whether what the subscribers depend on is down.
#[derive(Clone, Default)]
struct Down(Arc<AtomicBool>);

#[subscribe(retry(attempts = 9, delay = "1s"), when = |event| event.0 != 0)]
async fn deliver(
    event: &Ordered,
    State(down): State<Down>,
    State(log): State<Log>,
    State(start): State<Start>,
) -> Result<(), String> {
    let is_down = down.0.load(SeqCst);
    let what = if is_down { "fails" } else { "works" };
    log.add(format!("{} {what} at {:?}", event.0, start.0.elapsed()));
    if is_down { Err("the bank is down".into()) } else { Ok(()) }
}

async fn started(breaker: CircuitBreaker) -> (EventBusManager, Log, Down) {
    let (builder, log) = manager_of(module_path!());
    let down = Down::default();
    down.0.store(true, SeqCst);
    let builder = builder.state(Start(Instant::now())).state(down.clone());
    let events = builder.circuit_breaker("*::deliver", breaker).start().await.unwrap();
    (events, log, down)
}

fn two_failures() -> CircuitBreaker {
    CircuitBreaker::new(2, Duration::from_secs(10)).pause(Duration::from_secs(60))
}

fn is_paused(events: &EventBusManager) -> bool {
    events.default_bus().health().subscriptions[0].is_paused
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_keeps_failing_pauses_tries_one_event_and_goes_on() {
    let (events, log, down) = started(two_failures()).await;
    let bus = events.default_bus();
    for number in 1..=3 {
        bus.publish(Ordered(number)).await.unwrap();
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(log.entries(), ["1 fails at 0ns", "2 fails at 0ns"]);
    assert!(is_paused(&events));
    assert_eq!(bus.health().subscriptions[0].in_flight, 3, "nothing is lost");

    // One event goes through, and fails: another pause.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(log.entries().len(), 3);
    assert_eq!(log.entries()[2], "1 fails at 60s");
    assert!(is_paused(&events));

    down.0.store(false, SeqCst);
    bus.settled().await;
    let entries = log.entries();
    assert_eq!(entries[3..], ["2 works at 120s", "1 works at 120s", "3 works at 120s"]);
    assert!(!is_paused(&events));
    assert!(bus.dead_letters().list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_far_apart_do_not_count_together() {
    let (events, log, _) = started(two_failures()).await;
    events.default_bus().publish(Ordered(1)).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(!is_paused(&events));
    sleep(Duration::from_secs(1)).await;
    assert!(is_paused(&events), "its second failure was a second later");
    assert_eq!(log.entries(), ["1 fails at 0ns", "1 fails at 1s"]);

    let apart = CircuitBreaker::new(2, Duration::from_millis(900)).pause(Duration::from_secs(60));
    let (events, log, _) = started(apart).await;
    events.default_bus().publish(Ordered(1)).await.unwrap();
    sleep(Duration::from_millis(5_500)).await;
    assert!(!is_paused(&events));
    assert_eq!(log.entries().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_wanted_does_not_count_as_the_one_that_is_tried() {
    let (events, log, down) = started(two_failures()).await;
    let bus = events.default_bus();
    for number in [1, 2, 0, 3] {
        bus.publish(Ordered(number)).await.unwrap();
    }
    sleep(Duration::from_secs(30)).await;
    down.0.store(false, SeqCst);
    bus.settled().await;
    assert_eq!(log.entries().len(), 5);
    assert!(!is_paused(&events));
}

#[tokio::test(start_paused = true)]
async fn shutdown_says_what_a_subscriber_that_pauses_has_left() {
    let (events, log, _) = started(two_failures()).await;
    for number in 1..=3 {
        events.default_bus().publish(Ordered(number)).await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    let error = events.shutdown().await.unwrap_err();
    assert_eq!(error.left(), [(format!("{}::deliver", module_path!()), 3)]);
    assert_eq!(log.entries().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pause_with_nothing_left_does_not_hold_up_shutdown_and_closures_pause_too() {
    let breaker = CircuitBreaker::new(1, Duration::from_secs(1)).pause(Duration::from_secs(60));
    let builder = EventBusManager::builder().subscribers("none").circuit_breaker("*", breaker);
    let events = builder.start().await.unwrap();
    let bus = events.default_bus();
    bus.subscribe(|_: Arc<Ordered>| async { Err::<(), _>("always") }).await.unwrap();
    bus.publish(Ordered(1)).await.unwrap();
    bus.settled().await;
    assert!(is_paused(&events));
    let start = Instant::now();
    events.shutdown().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}
