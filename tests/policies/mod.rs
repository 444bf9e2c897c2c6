//! The options of subscribers on a real broker: the rows of the table that depend on the backend.
//!
//! Each function is a test on one broker that nothing else uses. It is given how to start a bus there.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aury_events::{IdempotencyStore, Retry, prelude::*};
use aury_events_backends::{
    BackendConfig, BackendFactory, Envelope, EventName, Metadata, Origin, Outgoing, Payload,
    registry::Connect,
};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long to wait for what must not happen.
const QUIET: Duration = Duration::from_millis(500);

/// A broker, and what its backend promises.
pub(crate) struct Broker {
    pub(crate) backend: &'static str,
    pub(crate) url: String,
    pub(crate) at_least_once: bool,
    pub(crate) shared_work: bool,
}

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "policies.job")]
struct Job {
    #[event(key)]
    key: String,
    number: u32,
    /// How many attempts fail.
    failures: u32,
}

fn job(number: u32) -> Job {
    Job { key: "k".to_owned(), number, failures: 0 }
}

/// What the subscribers of one process have done.
#[derive(Clone)]
struct Log {
    start: Instant,
    entries: Arc<Mutex<Vec<(String, Duration)>>>,
    busy: Arc<AtomicUsize>,
    busiest: Arc<AtomicUsize>,
}

impl Log {
    fn add(&self, entry: impl Display) {
        self.entries.lock().unwrap().push((entry.to_string(), self.start.elapsed()));
    }

    fn entries(&self) -> Vec<String> {
        self.entries.lock().unwrap().iter().map(|(entry, _)| entry.clone()).collect()
    }

    fn time_of(&self, entry: &str) -> Duration {
        let entries = self.entries.lock().unwrap();
        entries.iter().find(|(other, _)| other == entry).expect("it is there").1
    }

    /// Waits until there are so many entries.
    async fn has(&self, count: usize) -> Vec<String> {
        let enough = async {
            while self.entries.lock().unwrap().len() < count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, enough).await.unwrap_or_else(|_| panic!("{:?}", self.entries()));
        self.entries()
    }
}

impl Broker {
    fn config(&self) -> BusConfig {
        BusConfig::backend(self.backend).url(&self.url)
    }

    /// What a process has that runs one subscriber of this module.
    fn builder(&self, subscriber: &str) -> (aury_events::EventBusManagerBuilder, Log) {
        let log = Log {
            start: Instant::now(),
            entries: Arc::default(),
            busy: Arc::default(),
            busiest: Arc::default(),
        };
        let builder = EventBusManager::builder()
            .service("policies")
            .subscribers(format!("{}::{subscriber}", module_path!()))
            .bus("default", self.config())
            .state(log.clone());
        (builder, log)
    }

    async fn process(&self, subscriber: &str) -> (EventBusManager, Log) {
        let (builder, log) = self.builder(subscriber);
        (builder.start().await.unwrap(), log)
    }

    /// Publishes copies of one event, which have one id.
    async fn publish_copies(&self, number: u32, copies: usize) -> Envelope {
        let json = serde_json::to_vec(&job(number)).unwrap();
        let metadata = Metadata::new(EventName::from_static("policies.job"), 1, "/tests", None);
        let envelope = Envelope::new(metadata, Payload::Json(json.into()));
        for _ in 0..copies {
            self.publish(envelope.clone()).await;
        }
        envelope
    }

    async fn publish(&self, envelope: Envelope) {
        let mut config = BackendConfig::default();
        config.url = Some(self.url.parse().unwrap());
        let factory = BackendFactory::find(self.backend).unwrap();
        let connect = Connect::new("default", "another", "/tests", config);
        let backend = factory.connect(connect).await.unwrap();
        backend
            .publish(Outgoing { envelope, origin: Origin::Application, delay: None })
            .await
            .unwrap();
        backend.close().await.unwrap();
    }
}

#[subscribe(retry(attempts = 3, delay = "1s"))]
async fn retried(job: &Job, context: Context, State(log): State<Log>) -> Result<(), String> {
    log.add(format_args!("{}.{}", job.number, context.attempt()));
    if context.attempt() > job.failures { Ok(()) } else { Err("refused".into()) }
}

pub(crate) async fn a_long_retry_comes_back_in_time_and_is_a_dead_letter_in_the_end(
    broker: Broker,
) {
    let (events, log) = broker.process("retried").await;
    let bus = events.default_bus();
    bus.publish(Job { failures: 1, ..job(1) }).await.unwrap();
    bus.publish(job(2)).await.unwrap();
    let entries = log.has(3).await;
    assert_eq!(entries, ["1.1", "2.1", "1.2"], "what waits holds back no other");
    let waited = log.time_of("1.2") - log.time_of("1.1");
    assert!(waited >= Duration::from_millis(990), "{waited:?}");

    bus.publish(Job { failures: 9, ..job(3) }).await.unwrap();
    assert_eq!(log.has(6).await[3..], ["3.1", "3.2", "3.3"]);
    let letters = async {
        loop {
            let letters = bus.dead_letters().list().await.unwrap();
            if !letters.is_empty() {
                return letters;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let letters = timeout(DEADLINE, letters).await.unwrap();
    assert_eq!((letters[0].attempts, letters.len()), (3, 1));
    assert_eq!(letters[0].reason, "the handler failed: refused");
    events.shutdown().await.unwrap();
}

#[subscribe(durable)]
async fn lasting(job: &Job, State(log): State<Log>) {
    log.add(job.number);
}

pub(crate) async fn a_durable_subscriber_starts_where_delivery_is_at_least_once(broker: Broker) {
    let (builder, log) = broker.builder("lasting");
    match builder.start().await {
        Ok(events) => {
            assert!(broker.at_least_once);
            events.shutdown().await.unwrap();
            // Nobody is there, and the event waits.
            let (publisher, _) = broker.process("none").await;
            publisher.default_bus().publish(job(1)).await.unwrap();
            publisher.shutdown().await.unwrap();
            let (events, log) = broker.process("lasting").await;
            assert_eq!(log.has(1).await, ["1"]);
            events.shutdown().await.unwrap();
        }
        Err(error) => {
            assert!(!broker.at_least_once);
            assert!(error.to_string().contains("requires `durable`"), "{error}");
            assert!(log.entries().is_empty());
        }
    }
}

#[subscribe(broadcast)]
async fn everywhere(job: &Job, State(log): State<Log>) {
    log.add(job.number);
}

#[subscribe]
async fn somewhere(job: &Job, State(log): State<Log>) {
    log.add(job.number);
}

pub(crate) async fn a_broadcast_reaches_every_process_of_a_service(broker: Broker) {
    for (subscriber, everywhere) in [("everywhere", true), ("somewhere", !broker.shared_work)] {
        let (first, first_log) = broker.process(subscriber).await;
        let (second, second_log) = broker.process(subscriber).await;
        for number in 0..20 {
            first.default_bus().publish(job(number)).await.unwrap();
        }
        if everywhere {
            first_log.has(20).await;
            second_log.has(20).await;
        } else {
            let all = || first_log.entries().len() + second_log.entries().len();
            let arrived = async {
                while all() < 20 {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(DEADLINE, arrived).await.unwrap();
            sleep(QUIET).await;
            assert_eq!(all(), 20, "each event once");
        }
        first.shutdown().await.unwrap();
        second.shutdown().await.unwrap();
    }
}

#[subscribe(batch(max = 100, wait = "2s"), concurrency = 2)]
async fn in_batches(jobs: Vec<Job>, State(log): State<Log>) {
    log.add(jobs.len());
}

pub(crate) async fn a_batch_gets_full(broker: Broker) {
    let (events, log) = broker.process("in_batches").await;
    events.default_bus().publish_all((0..450).map(job)).await.unwrap();
    let entries = log.has(5).await;
    assert_eq!(entries[..4], ["100"; 4], "the broker hands out enough for full batches");
    assert_eq!(entries[4], "50");
    assert!(log.time_of("50") >= Duration::from_secs(1), "the last one waited for more");
    events.shutdown().await.unwrap();
}

#[subscribe(idempotent, concurrency = 4)]
async fn once(job: &Job, State(log): State<Log>) {
    log.add(job.number);
}

/// `store` connects to a store that the processes share.
pub(crate) async fn what_one_process_has_handled_another_one_skips<S, Fut>(
    broker: Broker,
    store: impl Fn() -> Fut,
) where
    S: IdempotencyStore,
    Fut: Future<Output = S>,
{
    let (builder, log) = broker.builder("once");
    let first = builder.idempotency(store().await).start().await.unwrap();
    let copy = broker.publish_copies(1, 3).await;
    log.has(1).await;
    sleep(QUIET).await;
    first.shutdown().await.unwrap();
    assert_eq!(log.entries(), ["1"], "copies in one process");

    let (builder, log) = broker.builder("once");
    let second = builder.idempotency(store().await).start().await.unwrap();
    broker.publish(copy).await;
    broker.publish_copies(2, 2).await;
    log.has(1).await;
    sleep(QUIET).await;
    second.shutdown().await.unwrap();
    assert_eq!(log.entries(), ["2"], "what the first process has handled is known to the second");
}

#[subscribe(concurrency = 4, ordered, retry(attempts = 3, delay = "20ms"))]
async fn in_order(job: &Job, context: Context, State(log): State<Log>) -> Result<(), String> {
    sleep(Duration::from_millis(u64::from(job.number % 3))).await;
    if context.attempt() <= job.failures {
        return Err("refused".into());
    }
    log.add(format_args!("{}.{}", job.key, job.number));
    Ok(())
}

pub(crate) async fn events_of_one_key_are_handled_in_order(broker: Broker) {
    let (events, log) = broker.process("in_order").await;
    let jobs = (0..100).map(|number| Job {
        key: (number % 5).to_string(),
        number,
        failures: u32::from(number % 7 == 0),
    });
    events.default_bus().publish_all(jobs).await.unwrap();
    let mut latest: HashMap<String, u32> = HashMap::new();
    for entry in log.has(100).await {
        let (key, number) = entry.split_once('.').unwrap();
        let number: u32 = number.parse().unwrap();
        let before = latest.insert(key.to_owned(), number);
        assert!(before.is_none_or(|before| before < number), "{key}: {before:?}, then {number}");
    }
    events.shutdown().await.unwrap();
}

#[subscribe(concurrency = 4, ordered = "service")]
async fn in_order_of_the_service(_: &Job) {}

pub(crate) async fn the_order_of_a_service_is_refused_at_start_up(broker: Broker) {
    let (builder, _) = broker.builder("in_order_of_the_service");
    let error = builder.start().await.unwrap_err().to_string();
    for part in [
        "in_order_of_the_service",
        "requires `ordered = \"service\"`, the order of a key over all processes of a service",
        &format!("the backend `{}` of the bus `default` does not offer that", broker.backend),
        "write `ordered`, and run this subscriber in one process (`EVENT_SUBSCRIBERS`)",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[subscribe(concurrency = 4)]
async fn at_once(job: &Job, State(log): State<Log>) {
    let busy = log.busy.fetch_add(1, SeqCst) + 1;
    log.busiest.fetch_max(busy, SeqCst);
    sleep(Duration::from_millis(20)).await;
    log.busy.fetch_sub(1, SeqCst);
    log.add(job.number);
}

pub(crate) async fn as_many_run_at_a_time_as_the_subscriber_says(broker: Broker) {
    let (events, log) = broker.process("at_once").await;
    events.default_bus().publish_all((0..60).map(job)).await.unwrap();
    log.has(60).await;
    assert_eq!(log.busiest.load(SeqCst), 4);
    events.shutdown().await.unwrap();
}

pub(crate) async fn a_named_subscription_is_made_again_under_its_name(broker: Broker) {
    let (events, log) = broker.process("none").await;
    let bus = events.default_bus();
    let subscribe = |round: u32| {
        let log = log.clone();
        let handler = move |job: Arc<Job>, context: Context| {
            let log = log.clone();
            async move {
                log.add(format!("{round} {} {}", job.number, context.attempt()));
                if job.failures == 0 { Ok(()) } else { Err("broken") }
            }
        };
        bus.subscribe(handler).name("job-mail").retry(Retry::attempts(2).delay(Duration::ZERO))
    };
    let first = subscribe(1).await.unwrap();
    bus.publish(Job { failures: 9, ..job(1) }).await.unwrap();
    log.has(2).await;
    first.unsubscribe().await;
    bus.publish(job(2)).await.unwrap();
    let second = subscribe(2).await.unwrap();
    bus.publish(job(3)).await.unwrap();
    assert_eq!(log.has(3).await, ["1 1 1", "1 1 2", "2 3 1"], "nobody heard the second job");

    let letters = || bus.dead_letters().of("job-mail");
    let of_the_first = letters().list().await.unwrap();
    assert_eq!(of_the_first.len(), 1, "the dead letters are those of the name");
    assert!(of_the_first[0].reason.contains("broken"), "{}", of_the_first[0].reason);
    assert_eq!(letters().replay_all().await.unwrap(), 1);
    assert_eq!(log.has(5).await[3..], ["2 1 1", "2 1 2"], "the second one has it replayed");
    second.unsubscribe().await;
    events.shutdown().await.unwrap();
}
