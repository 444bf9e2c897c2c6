//! Subscribers that handle an event once only.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use aury_events::{
    BackendError, BoxFuture, IdempotencyKey, IdempotencyStore, MemoryIdempotency, prelude::*,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    raw::{Raw, envelope, raw},
    support::{Log, manager_of},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "idempotent.paid")]
struct Paid {
    number: u32,
    /// How many attempts fail.
    failures: u32,
}

fn paid(number: u32) -> Paid {
    Paid { number, failures: 0 }
}

#[subscribe(idempotent)]
async fn book(event: &Paid, State(log): State<Log>) {
    log.add(event.number.to_string());
}

#[subscribe(idempotent, when = |event| event.number > 1)]
async fn book_large(event: &Paid, State(log): State<Log>) {
    log.add(event.number.to_string());
}

#[subscribe(idempotent, concurrency = 4, retry(attempts = 2, delay = "5s"))]
async fn book_slowly(event: &Paid, context: Context, State(log): State<Log>) -> Result<(), String> {
    log.add(format!("{} begins", event.number));
    sleep(Duration::from_secs(1)).await;
    if context.attempt() <= event.failures {
        log.add(format!("{} fails", event.number));
        return Err("no".into());
    }
    log.add(format!("{} ends", event.number));
    Ok(())
}

/// One subscriber of this module, on a bus that takes copies.
async fn started(subscriber: &str, name: &str) -> (EventBus, Raw, Log) {
    let (builder, log) = manager_of(module_path!());
    let (builder, raw) =
        raw(builder.subscribers(format!("{}::{subscriber}", module_path!())), name);
    (builder.start().await.unwrap().default_bus(), raw, log)
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_what_was_handled_is_skipped() {
    let (bus, raw, log) = started("book", "idempotent-copy").await;
    let (one, two) = (envelope(paid(1)), envelope(paid(2)));
    for copy in [&one, &two, &one, &one, &two] {
        raw.publish(copy.clone()).await;
    }
    bus.settled().await;
    assert_eq!(log.entries(), ["1", "2"]);
    assert!(bus.dead_letters().list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_condition_turns_down_is_not_marked() {
    #[derive(Debug, Default)]
    struct Marks(Arc<MemoryIdempotency>, Arc<AtomicBool>);
    impl IdempotencyStore for Marks {
        fn is_handled<'a>(
            &'a self,
            key: &'a IdempotencyKey,
        ) -> BoxFuture<'a, Result<bool, BackendError>> {
            self.1.store(true, SeqCst);
            self.0.is_handled(key)
        }
        fn mark_handled<'a>(
            &'a self,
            key: &'a IdempotencyKey,
        ) -> BoxFuture<'a, Result<(), BackendError>> {
            self.0.mark_handled(key)
        }
    }
    let (builder, _) = manager_of(module_path!());
    let asked = Arc::<AtomicBool>::default();
    let builder = builder
        .subscribers(format!("{}::book_large", module_path!()))
        .idempotency(Marks(Arc::default(), Arc::clone(&asked)));
    let bus = builder.start().await.unwrap().default_bus();
    bus.publish(paid(1)).await.unwrap();
    bus.settled().await;
    assert!(!asked.load(SeqCst), "the store is not asked about it");
    bus.publish(paid(2)).await.unwrap();
    bus.settled().await;
    assert!(asked.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn of_two_copies_at_the_same_time_the_second_waits_and_is_skipped() {
    let (bus, raw, log) = started("book_slowly", "idempotent-both").await;
    let one = envelope(paid(1));
    raw.publish(one.clone()).await;
    raw.publish(one).await;
    raw.publish(envelope(paid(2))).await;
    bus.settled().await;
    assert_eq!(log.sorted(), ["1 begins", "1 ends", "2 begins", "2 ends"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_marks_nothing_and_the_copy_that_waits_is_handled() {
    let (bus, raw, log) = started("book_slowly", "idempotent-fails").await;
    let one = envelope(Paid { number: 1, failures: 1 });
    let start = Instant::now();
    raw.publish(one.clone()).await;
    raw.publish(one).await;
    bus.settled().await;
    // Both first attempts fail. Of the second ones, the first succeeds, and the other finds that out.
    let entries = log.entries();
    let count = |what: &str| entries.iter().filter(|entry| entry.ends_with(what)).count();
    assert_eq!((count("begins"), count("fails"), count("ends")), (3, 2, 1), "{entries:?}");
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(7),
        "the second began when the first had failed"
    );
}

/// Cannot be reached for a while.
#[derive(Debug)]
struct Away {
    until: Instant,
    store: MemoryIdempotency,
    /// Asking works, marking does not.
    for_marks_alone: bool,
}

impl Away {
    fn result(&self, works: bool) -> Result<(), BackendError> {
        if works || Instant::now() >= self.until {
            return Ok(());
        }
        Err(BackendError::other("ask the store", "it is away"))
    }
}

impl IdempotencyStore for Away {
    fn is_handled<'a>(
        &'a self,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<bool, BackendError>> {
        Box::pin(async {
            self.result(self.for_marks_alone)?;
            self.store.is_handled(key).await
        })
    }

    fn mark_handled<'a>(
        &'a self,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        Box::pin(async {
            self.result(false)?;
            self.store.mark_handled(key).await
        })
    }
}

async fn with_store(for_marks_alone: bool, name: &str) -> (EventBus, Raw, Log) {
    let (builder, log) = manager_of(module_path!());
    let until = Instant::now() + Duration::from_secs(9);
    let away = Away { until, store: MemoryIdempotency::default(), for_marks_alone };
    let builder = builder.subscribers(format!("{}::book", module_path!())).idempotency(away);
    let (builder, raw) = raw(builder, name);
    (builder.start().await.unwrap().default_bus(), raw, log)
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_nothing_is_handled_and_nothing_is_lost() {
    let (bus, raw, log) = with_store(false, "idempotent-away").await;
    let start = Instant::now();
    raw.publish(envelope(paid(1))).await;
    sleep(Duration::from_secs(8)).await;
    assert!(log.entries().is_empty());
    bus.settled().await;
    assert_eq!((log.entries(), start.elapsed()), (vec!["1".into()], Duration::from_secs(10)));
    assert!(bus.dead_letters().list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_handled_and_could_not_be_marked_is_done_with() {
    let (bus, raw, log) = with_store(true, "idempotent-unmarked").await;
    let one = envelope(paid(1));
    raw.publish(one.clone()).await;
    bus.settled().await;
    assert_eq!(log.entries(), ["1"]);
    raw.publish(one).await;
    bus.settled().await;
    assert_eq!(log.entries(), ["1", "1"], "nobody knows of the first");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_aborted_marks_nothing_and_holds_nothing() {
    let (builder, log) = manager_of(module_path!());
    let builder = builder.subscribers(format!("{}::book_slowly", module_path!()));
    let (builder, raw) = raw(builder, "idempotent-aborted");
    let config = BusConfig::backend("raw")
        .url("raw://idempotent-aborted")
        .shutdown_timeout(Duration::from_millis(10));
    let events = builder.bus("default", config).start().await.unwrap();
    raw.publish(envelope(paid(1))).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(events.shutdown().await.unwrap_err().left().len(), 1);
    assert_eq!(log.entries(), ["1 begins"]);
}
