//! A broker and connections that break under load, each in its own way.
//!
//! One judgement for all: every event whose publishing was confirmed is handled by every subscriber, what is handled
//! twice was in flight when something broke, and an event published later reaches everybody without help.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use aury_events::{QueueType, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::{
    task::{JoinHandle, block_in_place},
    time::timeout,
};

use crate::{
    brokers::{Leased, Proxy, RabbitServer},
    support::{Place, SOON, eventually, until},
    waiting::INTERVAL,
};

/// How many events are published at least: more if what breaks takes longer than they.
const EVENTS: usize = 20_000;
/// The most of them.
const MOST: usize = 10 * EVENTS;
/// The number of the one that is published when all is over.
const LATER: usize = MOST;
/// How many are confirmed before something breaks.
const CALM: usize = 4_000;

/// Tasks that publish one event after the other.
const SINGLY: usize = 4;
/// Tasks that publish many at once.
const AT_ONCE: usize = 4;
/// How many that is.
const BATCH: usize = 50;
/// What is published and not confirmed, at most.
const UNCONFIRMED: usize = SINGLY + AT_ONCE * BATCH;

/// The processes that run the subscribers, both all of them.
const WORKERS: usize = 2;
/// What each of them holds for each subscriber, at most.
const PREFETCH: usize = 64;

/// What a failure shows of the queues.
const QUEUES: [&str; 6] =
    ["list_queues", "name", "messages_ready", "messages_unacknowledged", "consumers", "state"];

pub(crate) const SUBSCRIBERS: [&str; 2] = ["chaos.mail", "chaos.stock"];

#[derive(Serialize, Deserialize, Event)]
#[event(name = "chaos.order")]
struct Order {
    number: usize,
}

#[subscribe(name = "chaos.mail", concurrency = 8)]
async fn mail(order: &Order, State(ledger): State<Ledger>) {
    ledger.handle(0, order.number).await;
}

#[subscribe(name = "chaos.stock")]
async fn stock(order: &Order, State(ledger): State<Ledger>) {
    ledger.handle(1, order.number).await;
}

/// What became of each event.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Books>);

struct Books {
    /// The first number that has not been published.
    next: AtomicUsize,
    /// Whether nothing breaks any more.
    is_calm: AtomicBool,
    is_confirmed: Vec<AtomicBool>,
    confirmed: AtomicUsize,
    /// How often each subscriber has handled it.
    handled: [Vec<AtomicU32>; SUBSCRIBERS.len()],
}

impl Ledger {
    fn new() -> Self {
        fn column<T: Default>() -> Vec<T> {
            (0..=LATER).map(|_| T::default()).collect()
        }
        Self(Arc::new(Books {
            next: AtomicUsize::new(0),
            is_calm: AtomicBool::new(false),
            is_confirmed: column(),
            confirmed: AtomicUsize::new(0),
            handled: [column(), column()],
        }))
    }

    async fn handle(&self, subscriber: usize, number: usize) {
        tokio::task::yield_now().await;
        self.0.handled[subscriber][number].fetch_add(1, SeqCst);
    }

    /// The next numbers to be published; none when it is enough.
    fn take(&self, count: usize) -> Range<usize> {
        let most = if self.0.is_calm.load(SeqCst) { EVENTS } else { MOST };
        if self.published() >= most {
            return 0..0;
        }
        let start = self.0.next.fetch_add(count, SeqCst);
        start.min(MOST)..(start + count).min(MOST)
    }

    /// How many have been published, or were tried to.
    pub(crate) fn published(&self) -> usize {
        self.0.next.load(SeqCst).min(MOST)
    }

    /// Lets the load come to its end.
    pub(crate) fn calms_down(&self) {
        self.0.is_calm.store(true, SeqCst);
    }

    fn confirm(&self, number: usize) {
        self.0.is_confirmed[number].store(true, SeqCst);
        self.0.confirmed.fetch_add(1, SeqCst);
    }

    fn confirmed(&self) -> usize {
        self.0.confirmed.load(SeqCst)
    }

    pub(crate) fn has(&self, subscriber: usize, number: usize) -> bool {
        self.0.handled[subscriber][number].load(SeqCst) > 0
    }

    /// The confirmed events from there on that a subscriber has not handled.
    pub(crate) fn missing(&self, subscriber: usize, from: usize) -> Vec<usize> {
        let confirmed = |number: &usize| self.0.is_confirmed[*number].load(SeqCst);
        (from..MOST).filter(confirmed).filter(|number| !self.has(subscriber, *number)).collect()
    }

    /// How often a subscriber has handled an event that it had handled before.
    fn duplicates(&self, subscriber: usize) -> usize {
        let times = self.0.handled[subscriber].iter().map(|times| times.load(SeqCst) as usize);
        times.map(|times| times.saturating_sub(1)).sum()
    }
}

/// A service on a server of the test's own, each process behind a proxy.
pub(crate) struct Storm {
    pub(crate) server: Leased,
    pub(crate) place: Place,
    pub(crate) ledger: Ledger,
    pub(crate) publisher: (EventBus, Proxy),
    pub(crate) workers: Vec<(EventBus, Proxy)>,
}

impl Storm {
    pub(crate) async fn gathers(queue_type: QueueType) -> Self {
        let server = block_in_place(RabbitServer::lease);
        let place = Place::at(server.url());
        let ledger = Ledger::new();
        let start = async |subscribers: &str| {
            let proxy = Proxy::to(server.address());
            let by_proxy = place.by(server.url_by(proxy.address()));
            let config = by_proxy.config().queue_type(queue_type).prefetch(PREFETCH as u32);
            let process = by_proxy.process_as(subscribers, config).state(ledger.clone());
            (process.start().await.unwrap().default_bus(), proxy)
        };
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            workers.push(start("chaos.*").await);
        }
        let publisher = start("none").await;
        Self { server, place, ledger, publisher, workers }
    }

    /// Tasks that publish all events, whatever happens.
    pub(crate) fn load(&self) -> Vec<JoinHandle<()>> {
        (0..SINGLY + AT_ONCE)
            .map(|task| {
                let (bus, ledger) = (self.publisher.0.clone(), self.ledger.clone());
                tokio::spawn(publish(bus, ledger, if task < SINGLY { 1 } else { BATCH }))
            })
            .collect()
    }

    /// Waits until some events are confirmed.
    pub(crate) async fn builds_up(&self) {
        until("events are confirmed", SOON, || self.ledger.confirmed() >= CALM).await;
    }

    /// Breaks something under load, and repairs it. What is in flight may come twice each of the `times` that it breaks.
    async fn breaks(mut self, times: usize, fault: impl AsyncFnOnce(&mut Self)) {
        let start = Instant::now();
        let load = self.load();
        self.builds_up().await;
        fault(&mut self).await;
        self.ledger.calms_down();
        ends(load).await;
        self.is_handled().await;
        self.is_over().await;
        let most_doubled = times * (UNCONFIRMED + PREFETCH * WORKERS);
        for (subscriber, name) in SUBSCRIBERS.iter().enumerate() {
            let duplicates = self.ledger.duplicates(subscriber);
            println!(
                "{name}: {} of {} confirmed, none lost, {duplicates} handled twice (at most {most_doubled}), {:.0?}",
                self.ledger.confirmed(),
                self.ledger.published(),
                start.elapsed(),
            );
            assert!(duplicates <= most_doubled, "{duplicates} duplicates");
        }
    }

    /// Every subscriber handles every confirmed event.
    async fn is_handled(&self) {
        let start = Instant::now();
        let missing = || [0, 1].map(|subscriber| self.ledger.missing(subscriber, 0));
        while missing().iter().any(|numbers| !numbers.is_empty()) {
            assert!(
                start.elapsed() < SOON * 2,
                "of {} confirmed, not handled in time: {:?}; {:#?}; the server's queues:\n{}",
                self.ledger.confirmed(),
                missing(),
                self.workers.iter().map(|(bus, _)| bus.health()).collect::<Vec<_>>(),
                block_in_place(|| self.server.ctl(&QUEUES)),
            );
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// An event published later reaches everybody, and everything says that it is well.
    pub(crate) async fn is_over(&self) {
        let (publisher, ledger) = (&self.publisher.0, &self.ledger);
        let published = async || publisher.publish(Order { number: LATER }).await.is_ok();
        eventually("a later event is published", SOON, published).await;
        for (subscriber, name) in SUBSCRIBERS.iter().enumerate() {
            until(name, SOON, || ledger.has(subscriber, LATER)).await;
        }
        for (bus, _) in &self.workers {
            until("health says so", SOON, || {
                let health = bus.health();
                health.is_up && health.subscriptions.iter().all(|it| it.is_live)
            })
            .await;
            timeout(SOON, bus.settled()).await.unwrap();
        }
        // It has two connections, and each comes back in its own time.
        until("the publisher's does", SOON, || publisher.health().is_up).await;
    }

    fn restart(&mut self, end: fn(&mut RabbitServer)) {
        block_in_place(|| {
            end(&mut self.server);
            self.server.start_again();
        });
    }

    fn ctl(&self, arguments: &[&str]) {
        block_in_place(|| self.server.ctl(arguments));
    }
}

/// Waits until all has been published.
pub(crate) async fn ends(load: Vec<JoinHandle<()>>) {
    for task in load {
        timeout(SOON * 2, task).await.expect("publishers come to an end").unwrap();
    }
}

async fn publish(bus: EventBus, ledger: Ledger, count: usize) {
    loop {
        let numbers = ledger.take(count);
        if numbers.is_empty() {
            return;
        }
        let confirmed = if count == 1 {
            usize::from(bus.publish(Order { number: numbers.start }).await.is_ok())
        } else {
            match bus.publish_all(numbers.clone().map(|number| Order { number })).await {
                Ok(ids) => ids.len(),
                Err(error) => error.published().len(),
            }
        };
        let is_done = confirmed == numbers.len();
        numbers.take(confirmed).for_each(|number| ledger.confirm(number));
        if !is_done {
            // As an application does that is told of an error.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_restarted_broker_loses_nothing_confirmed() {
    let storm = Storm::gathers(QueueType::Quorum).await;
    storm.breaks(1, async |storm| storm.restart(RabbitServer::stop)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_killed_broker_loses_nothing_confirmed() {
    let storm = Storm::gathers(QueueType::Quorum).await;
    storm.breaks(1, async |storm| storm.restart(RabbitServer::kill)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_killed_broker_loses_nothing_confirmed_of_classic_queues() {
    let storm = Storm::gathers(QueueType::Classic).await;
    storm.breaks(1, async |storm| storm.restart(RabbitServer::kill)).await;
}

/// How often connections are cut, and how long they last.
const CUTS: usize = 5;
const BETWEEN: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn connections_cut_while_they_publish_lose_nothing_confirmed() {
    let storm = Storm::gathers(QueueType::Quorum).await;
    storm
        .breaks(CUTS, async |storm| {
            for _ in 0..CUTS {
                storm.publisher.1.cut();
                tokio::time::sleep(BETWEEN).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn connections_cut_while_they_acknowledge_lose_nothing() {
    let storm = Storm::gathers(QueueType::Quorum).await;
    storm
        .breaks(CUTS, async |storm| {
            for _ in 0..CUTS {
                storm.workers.iter().for_each(|(_, proxy)| proxy.cut());
                tokio::time::sleep(BETWEEN).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn connections_closed_by_an_operator_come_back() {
    let storm = Storm::gathers(QueueType::Quorum).await;
    storm.breaks(1, async |storm| storm.ctl(&["close_all_connections", "out you go"])).await;
}

/// What has a channel closed by the broker: an acknowledgement of what was never delivered. First of channels with
/// consumers, then of all.
const CLOSE: [&str; 2] = [
    "[rabbit_channel:do(C, {'basic.ack', 99999999, false}) || C <- rabbit_channel:list(), \
     [{consumer_count, N}] <- [rabbit_channel:info(C, [consumer_count])], N > 0], ok.",
    "[rabbit_channel:do(C, {'basic.ack', 99999999, false}) || C <- rabbit_channel:list()], ok.",
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn channels_closed_by_the_broker_come_back() {
    let storm = Storm::gathers(QueueType::Quorum).await;
    storm
        .breaks(2, async |storm| {
            for close in CLOSE {
                storm.ctl(&["eval", close]);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_memory_alarm_stops_publishers_until_it_is_over() {
    let storm = Storm::gathers(QueueType::Quorum).await;
    storm
        .breaks(1, async |storm| {
            storm.ctl(&["set_vm_memory_high_watermark", "0.0001"]);
            let before = storm.ledger.published();
            block_in_place(|| sleep(Duration::from_secs(2)));
            let published = storm.ledger.published() - before;
            assert!(published <= UNCONFIRMED, "{published} published in spite of the alarm");
            let health = storm.publisher.0.health();
            let problem = health.problem.as_deref().unwrap_or_default();
            assert!(!health.is_up && problem.contains("blocked"), "{problem:?}");
            storm.ctl(&["set_vm_memory_high_watermark", "0.4"]);
        })
        .await;
}
