//! Subscribers that take many events at a time.

use std::{sync::Arc, time::Duration};

use aury_events::{
    BoxError, BoxFuture, DeadLetter,
    middleware::{Middleware, Next},
    prelude::*,
};
use aury_events_backends::{Envelope, EventName, Metadata, Payload};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    raw::{Raw, raw},
    support::{Log, manager_of},
};

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "batches.indexed")]
struct Indexed(u32);

#[derive(Clone, Copy)]
struct Start(Instant);

fn numbers<'a>(events: impl IntoIterator<Item = &'a Indexed>) -> String {
    let numbers: Vec<_> = events.into_iter().map(|event| event.0.to_string()).collect();
    numbers.join(" ")
}

/// Starts one subscriber of this module.
async fn started(subscriber: &str) -> (EventBusManager, Log) {
    let (builder, log) = manager_of(module_path!());
    let builder = builder.subscribers(format!("{}::{subscriber}", module_path!()));
    (builder.state(Start(Instant::now())).start().await.unwrap(), log)
}

/// Has it handle events with these numbers.
async fn handled(
    subscriber: &str,
    events: impl IntoIterator<Item = u32>,
) -> (Vec<String>, Vec<DeadLetter>) {
    let (manager, log) = started(subscriber).await;
    let bus = manager.default_bus();
    for number in events {
        bus.publish(Indexed(number)).await.unwrap();
    }
    bus.settled().await;
    (log.entries(), bus.dead_letters().list().await.unwrap())
}

#[subscribe(batch(max = 3, wait = "50ms"))]
async fn lent(events: &[Arc<Indexed>], State(log): State<Log>, State(start): State<Start>) {
    log.add(format!("{} at {:?}", numbers(events.iter().map(|e| &**e)), start.0.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_or_its_first_event_has_waited_long_enough() {
    let (log, _) = handled("lent", 0..7).await;
    assert_eq!(log, ["0 1 2 at 0ns", "3 4 5 at 0ns", "6 at 50ms"]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_more_events() {
    let (manager, log) = started("patient").await;
    manager.default_bus().publish(Indexed(1)).await.unwrap();
    manager.default_bus().publish(Indexed(2)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    manager.shutdown().await.unwrap();
    assert_eq!(log.entries(), ["1 2 at 1s"]);
}

#[subscribe(batch(max = 100, wait = "1h"))]
async fn patient(events: Vec<Indexed>, State(log): State<Log>, State(start): State<Start>) {
    log.add(format!("{} at {:?}", numbers(&events), start.0.elapsed()));
}

#[subscribe(batch = 4, when = |event| event.0 % 2 == 0)]
async fn even(events: Vec<Arc<Indexed>>, State(log): State<Log>) {
    log.add(numbers(events.iter().map(|e| &**e)));
}

#[tokio::test(start_paused = true)]
async fn what_the_condition_turns_down_is_not_part_of_the_batch() {
    assert_eq!(handled("even", 0..8).await.0, ["0 2", "4 6"]);
    assert!(handled("even", [1, 3]).await.0.is_empty(), "there is no empty batch");
}

#[subscribe(batch(max = 2, wait = "10ms"), retry(attempts = 3, delay = "100ms"))]
async fn short(
    events: Vec<Indexed>,
    context: Context,
    State(log): State<Log>,
) -> Result<(), String> {
    log.add(format!("{}, attempt {}", numbers(&events), context.attempt()));
    if context.attempt() < events[0].0 { Err(format!("no {}", events[0].0)) } else { Ok(()) }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_is_retried_in_place_when_the_wait_is_short() {
    let (log, letters) = handled("short", [2, 0, 1]).await;
    assert_eq!(log, ["2 0, attempt 1", "2 0, attempt 2", "1, attempt 1"]);
    assert!(letters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn when_the_attempts_are_used_up_each_event_is_a_dead_letter_with_the_reason() {
    let (log, letters) = handled("short", [9, 0]).await;
    assert_eq!(log.len(), 3);
    assert_eq!(letters.len(), 2);
    for letter in letters {
        assert_eq!((letter.attempts, &*letter.reason), (3, "the handler failed: no 9"));
    }
}

#[subscribe(batch(max = 2, wait = "10ms"), retry(attempts = 2, delay = "5s"), timeout = "1s")]
async fn long(events: Vec<Indexed>, context: Context, State(log): State<Log>) {
    log.add(format!("{}, attempt {}", numbers(&events), context.attempt()));
    match events[0].0 {
        8 => std::future::pending().await,
        9 => panic!("no {}", numbers(&events)),
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_and_has_long_to_wait_holds_back_no_other() {
    let (log, letters) = handled("long", [9, 1, 2, 3]).await;
    assert_eq!(log, ["9 1, attempt 1", "2 3, attempt 1", "9 1, attempt 2"]);
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[1].reason, "the handler panicked: no 9 1");
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_is_for_the_batch() {
    let (_, letters) = handled("long", [8, 1]).await;
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[1].reason, "the handler did not end within 1s");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_a_dead_letter_by_itself() {
    let (builder, log) = manager_of(module_path!());
    let builder = builder.subscribers(format!("{}::lent", module_path!()));
    let (builder, raw): (_, Raw) = raw(builder.state(Start(Instant::now())), "batches");
    let bus = builder.start().await.unwrap().default_bus();
    for json in ["1", "\"x\"", "2"] {
        let metadata = Metadata::new(EventName::from_static("batches.indexed"), 1, "/tests", None);
        raw.publish(Envelope::new(metadata, Payload::Json(json.as_bytes().to_vec().into()))).await;
    }
    bus.settled().await;
    assert_eq!(log.entries(), ["1 2 at 0ns"]);
    let letters = bus.dead_letters().list().await.unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.starts_with("the event could not be decoded"), "{letters:?}");
}

#[subscribe(batch(max = 2, wait = "10ms"), concurrency = 2)]
async fn two_at_a_time(events: Vec<Indexed>, State(log): State<Log>, State(start): State<Start>) {
    sleep(Duration::from_secs(1)).await;
    log.add(format!("{} at {:?}", numbers(&events), start.0.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn so_many_batches_are_handled_at_a_time() {
    let (log, _) = handled("two_at_a_time", 0..8).await;
    assert_eq!(log, ["0 1 at 1s", "2 3 at 1s", "4 5 at 2s", "6 7 at 2s"]);
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "batches.echoed")]
struct Echoed;

#[subscribe(batch(max = 2, wait = "10ms"))]
async fn echo(_: &[Arc<Echoed>], State(log): State<Log>) {
    log.add("echo");
}

#[subscribe(batch(max = 3, wait = "10ms"))]
async fn chained(events: Vec<Indexed>, context: Context, State(log): State<Log>) {
    log.add(format!("{} after {}", numbers(&events), context.metadata().hops()));
    context.publish(Echoed).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_context_is_that_of_the_event_with_the_longest_chain() {
    let (builder, log) = manager_of(module_path!());
    let builder = builder
        .subscribers(format!("{0}::chained,{0}::echo", module_path!()))
        .state(Start(Instant::now()));
    let (builder, raw): (_, Raw) = raw(builder, "batches-chained");
    let bus = builder.start().await.unwrap().default_bus();
    for hops in [0, 7, 3] {
        let metadata = Metadata::new(EventName::from_static("batches.indexed"), 1, "/tests", None);
        let payload = Payload::Json(hops.to_string().into_bytes().into());
        raw.publish(Envelope::new(metadata.with_hops(hops), payload)).await;
    }
    bus.settled().await;
    assert_eq!(log.entries(), ["0 7 3 after 7", "echo"]);
}

/// Notes how often it is around something.
struct Counting(Log);

impl Middleware for Counting {
    fn handle<'a>(&'a self, _: &'a Context, next: Next) -> BoxFuture<'a, Result<(), BoxError>> {
        self.0.add("around");
        Box::pin(next.run())
    }
}

#[tokio::test(start_paused = true)]
async fn middleware_is_around_the_batch() {
    let (builder, log) = manager_of(module_path!());
    let builder = builder.subscribers(format!("{}::even", module_path!()));
    let bus = builder.middleware(Counting(log.clone())).start().await.unwrap().default_bus();
    for number in 0..4 {
        bus.publish(Indexed(number)).await.unwrap();
    }
    bus.settled().await;
    assert_eq!(log.entries(), ["around", "0 2"]);
}
