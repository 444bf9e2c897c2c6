//! What happens when a handler fails, or takes its time. The clock is paused: waits cost nothing, and are exact.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use aury_events::{DeadLetter, Failure, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::support::{Log, manager_of};

/// Says how often the first attempts at it fail.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "policies.job")]
struct Job {
    #[event(key)]
    key: String,
    number: u32,
    failures: u32,
}

fn job(failures: u32) -> Job {
    Job { key: "k".into(), number: 0, failures }
}

#[derive(Debug, PartialEq)]
struct Refused(u32);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "attempt {} was refused", self.0)
    }
}

impl std::error::Error for Refused {}

/// When the manager was started.
#[derive(Clone, Copy)]
struct Start(Instant);

fn note(log: &Log, start: Start, what: impl std::fmt::Display) {
    log.add(format!("{what} at {:?}", start.0.elapsed()));
}

fn result_of(job: &Job, context: &Context) -> Result<(), Refused> {
    if context.attempt() > job.failures { Ok(()) } else { Err(Refused(context.attempt())) }
}

/// Starts one subscriber of this module, has it handle `jobs`, and gives its log and its dead letters.
async fn handled(
    subscriber: &str,
    jobs: impl IntoIterator<Item = Job>,
) -> (Vec<String>, Vec<DeadLetter>) {
    let (builder, log) = manager_of(module_path!());
    let builder = builder.subscribers(format!("{}::{subscriber}", module_path!()));
    let events = builder.state(Start(Instant::now())).start().await.unwrap();
    let bus = events.default_bus();
    for job in jobs {
        bus.publish(job).await.unwrap();
    }
    bus.settled().await;
    (log.entries(), bus.dead_letters().list().await.unwrap())
}

#[subscribe(retry = 3)]
async fn plain(
    job: &Job,
    context: Context,
    State(log): State<Log>,
    State(start): State<Start>,
) -> Result<(), Refused> {
    note(&log, start, context.attempt());
    result_of(job, &context)
}

#[tokio::test(start_paused = true)]
async fn a_failed_event_is_tried_three_times_two_seconds_apart() {
    let (log, letters) = handled("plain", [job(2)]).await;
    assert_eq!(log, ["1 at 0ns", "2 at 2s", "3 at 4s"]);
    assert!(letters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_attempts_are_used_up_becomes_a_dead_letter() {
    let (log, letters) = handled("plain", [job(9)]).await;
    assert_eq!(log, ["1 at 0ns", "2 at 2s", "3 at 4s"]);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].attempts, 3);
    assert_eq!(letters[0].reason, "the handler failed: attempt 3 was refused");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_for_its_next_attempt_holds_back_no_other() {
    let (log, _) = handled("plain", [job(1), job(0)]).await;
    assert_eq!(log, ["1 at 0ns", "1 at 0ns", "2 at 2s"]);
}

#[subscribe(retry(
    attempts = 6,
    delay = "1s",
    backoff = "exponential",
    factor = 3,
    max_delay = "10s",
    jitter = false
))]
async fn growing(
    job: &Job,
    context: Context,
    State(log): State<Log>,
    State(start): State<Start>,
) -> Result<(), Refused> {
    note(&log, start, context.attempt());
    result_of(job, &context)
}

#[tokio::test(start_paused = true)]
async fn exponential_waits_grow_up_to_the_longest() {
    let (log, letters) = handled("growing", [job(9)]).await;
    assert_eq!(log, ["1 at 0ns", "2 at 1s", "3 at 4s", "4 at 13s", "5 at 23s", "6 at 33s"]);
    assert_eq!(letters[0].attempts, 6);
}

#[subscribe(retry(attempts = 3, delay = "100ms"))]
async fn short(
    job: &Job,
    context: Context,
    State(log): State<Log>,
    State(start): State<Start>,
) -> Result<(), Refused> {
    note(&log, start, format_args!("{}.{}", job.number, context.attempt()));
    result_of(job, &context)
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_is_spent_in_place() {
    let jobs = [Job { number: 1, ..job(1) }, Job { number: 2, ..job(0) }];
    let (log, _) = handled("short", jobs).await;
    assert_eq!(log, ["1.1 at 0ns", "1.2 at 100ms", "2.1 at 100ms"]);
}

#[subscribe(retry = 3, retry_if = |error| error.0 < 2)]
async fn choosy(
    _: &Job,
    context: Context,
    State(log): State<Log>,
    State(start): State<Start>,
) -> Result<(), Refused> {
    note(&log, start, context.attempt());
    Err(Refused(context.attempt()))
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_not_worth_it_is_not_retried() {
    let (log, letters) = handled("choosy", [job(9)]).await;
    assert_eq!(log, ["1 at 0ns", "2 at 2s"]);
    assert_eq!(letters[0].attempts, 2);
}

#[subscribe(retry = 2, timeout = "30s")]
async fn slow(job: &Job, context: Context, State(log): State<Log>, State(start): State<Start>) {
    note(&log, start, context.attempt());
    if context.attempt() <= job.failures {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_has_failed() {
    let (log, letters) = handled("slow", [job(1)]).await;
    assert_eq!(log, ["1 at 0ns", "2 at 32s"]);
    assert!(letters.is_empty());
    let (_, letters) = handled("slow", [job(2)]).await;
    assert_eq!(letters[0].reason, "the handler did not end within 30s");
}

#[subscribe(retry = 2)]
async fn panicking(
    job: &Job,
    context: Context,
    State(log): State<Log>,
    State(start): State<Start>,
) {
    note(&log, start, context.attempt());
    assert!(context.attempt() > job.failures, "out of stock");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_like_others() {
    let (log, letters) = handled("panicking", [job(1)]).await;
    assert_eq!(log, ["1 at 0ns", "2 at 2s"]);
    assert!(letters.is_empty());
    let (_, letters) = handled("panicking", [job(2)]).await;
    assert_eq!(letters[0].reason, "the handler panicked: out of stock");
}

#[subscribe(retry = 5)]
async fn deciding(
    job: &Job,
    context: Context,
    State(log): State<Log>,
    State(start): State<Start>,
) -> anyhow::Result<()> {
    use anyhow::Context as _;
    note(&log, start, context.attempt());
    if let Err(error) = result_of(job, &context) {
        Err(match job.number {
            0 => Failure::retry_after(error, Duration::from_secs(40)),
            1 => Failure::dead_letter(error),
            _ => Failure::discard(error),
        })
        .context("taking the payment")?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_decide_what_becomes_of_the_event() {
    let (log, letters) = handled("deciding", [Job { number: 0, ..job(1) }]).await;
    assert_eq!(log, ["1 at 0ns", "2 at 40s"]);
    assert!(letters.is_empty());

    let (log, letters) = handled("deciding", [Job { number: 1, ..job(9) }]).await;
    assert_eq!(log, ["1 at 0ns"]);
    assert_eq!(
        letters[0].reason,
        "the handler failed: taking the payment: attempt 1 was refused: the handler gives the event up"
    );

    let (log, letters) = handled("deciding", [Job { number: 2, ..job(9) }]).await;
    assert_eq!(log, ["1 at 0ns"]);
    assert!(letters.is_empty());
}

/// How many handlers run now, and how many did at the most.
#[derive(Clone, Default)]
struct Busy(Arc<(AtomicUsize, AtomicUsize)>);

impl Busy {
    async fn work(&self, time: Duration) {
        let now = self.0.0.fetch_add(1, SeqCst) + 1;
        self.0.1.fetch_max(now, SeqCst);
        tokio::time::sleep(time).await;
        self.0.0.fetch_sub(1, SeqCst);
    }
}

#[subscribe(name = "policies.at_once", concurrency = 4)]
async fn at_once(_: &Job, State(busy): State<Busy>) {
    busy.work(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn as_many_handlers_run_at_a_time_as_the_subscriber_says() {
    let (builder, _) = manager_of("policies");
    let busy = Busy::default();
    let builder = builder.subscribers("policies.at_once").state(busy.clone());
    let bus = builder.start().await.unwrap().default_bus();
    let start = Instant::now();
    for _ in 0..20 {
        bus.publish(job(0)).await.unwrap();
    }
    bus.settled().await;
    assert_eq!(busy.0.1.load(SeqCst), 4);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

#[subscribe(
    name = "policies.in_order",
    concurrency = 4,
    ordered,
    retry(attempts = 3, delay = "10s")
)]
async fn in_order(
    job: &Job,
    context: Context,
    State(log): State<Log>,
    State(start): State<Start>,
    State(busy): State<Busy>,
) -> Result<(), Refused> {
    busy.work(Duration::from_secs(1)).await;
    note(&log, start, format_args!("{}{}.{}", job.key, job.number, context.attempt()));
    result_of(job, &context)
}

#[tokio::test(start_paused = true)]
async fn events_of_one_key_stay_in_order_and_a_failing_key_holds_back_no_other() {
    let (builder, log) = manager_of("policies");
    let busy = Busy::default();
    let builder = builder.subscribers("policies.in_order").state(busy.clone());
    let bus = builder.state(Start(Instant::now())).start().await.unwrap().default_bus();
    for number in 0..3 {
        for key in ["a", "b", "c"] {
            // The first event of `a` fails once.
            let failures = u32::from(key == "a" && number == 0);
            bus.publish(Job { key: key.into(), number, failures }).await.unwrap();
        }
    }
    bus.settled().await;
    let of = |key: &str| -> Vec<String> {
        log.entries().into_iter().filter(|entry| entry.starts_with(key)).collect()
    };
    assert_eq!(of("a"), ["a0.1 at 1s", "a0.2 at 12s", "a1.1 at 13s", "a2.1 at 14s"]);
    assert_eq!(of("b"), ["b0.1 at 1s", "b1.1 at 2s", "b2.1 at 3s"]);
    assert_eq!(of("c"), ["c0.1 at 1s", "c1.1 at 2s", "c2.1 at 3s"]);
    assert_eq!(busy.0.1.load(SeqCst), 3, "one handler for each key");
}

#[subscribe(
    name = "policies.in_order_of_the_service",
    ordered = "service",
    retry(attempts = 3, delay = "10s")
)]
async fn in_order_of_the_service(
    job: &Job,
    context: Context,
    State(log): State<Log>,
    State(start): State<Start>,
) -> Result<(), Refused> {
    note(&log, start, format_args!("{}{}.{}", job.key, job.number, context.attempt()));
    result_of(job, &context)
}

#[tokio::test(start_paused = true)]
async fn in_one_process_the_order_of_a_service_is_that_of_the_process() {
    let (builder, log) = manager_of("policies");
    let builder = builder.subscribers("policies.in_order_of_the_service");
    let bus = builder.state(Start(Instant::now())).start().await.unwrap().default_bus();
    for number in 0..2 {
        let failures = u32::from(number == 0);
        bus.publish(Job { key: "a".into(), number, failures }).await.unwrap();
    }
    bus.settled().await;
    assert_eq!(log.entries(), ["a0.1 at 0ns", "a0.2 at 10s", "a1.1 at 10s"]);
}

#[subscribe(broadcast)]
async fn everywhere(job: &Job, State(log): State<Log>) {
    log.add(job.number.to_string());
}

#[tokio::test(start_paused = true)]
async fn in_one_process_a_broadcast_is_handled_once() {
    let (log, _) = handled("everywhere", [job(0)]).await;
    assert_eq!(log, ["0"]);
}

#[subscribe(durable)]
async fn lasting(_: &Job) {}

#[tokio::test]
async fn a_durable_subscriber_does_not_start_in_memory() {
    let (builder, _) = manager_of("policies");
    let builder = builder.subscribers(format!("{}::lasting", module_path!()));
    let error = builder.start().await.unwrap_err().to_string();
    assert!(error.contains("requires `durable`") && error.contains("`memory`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_what_waits_for_its_next_attempt() {
    let (builder, log) = manager_of(module_path!());
    let builder = builder.subscribers(format!("{}::plain", module_path!()));
    let events = builder.state(Start(Instant::now())).start().await.unwrap();
    events.default_bus().publish(job(1)).await.unwrap();
    tokio::task::yield_now().await;
    events.shutdown().await.unwrap();
    assert_eq!(log.entries(), ["1 at 0ns", "2 at 2s"]);
}
