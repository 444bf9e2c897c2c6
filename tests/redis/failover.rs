//! The server that we write to becomes one that we must not write to, with all connections open.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aury_events::{EventId, IdempotencyKey, IdempotencyStore, RedisIdempotency, prelude::*};
use aury_events_backends::{EventName, Metadata};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    brokers::{Proxy, RedisOptions, RedisServer},
    support::{Logged, Numbers, SOON, until},
};

/// How long anything may take once a primary can be reached that can be written to: the promise is 5 seconds, and the
/// machine may be busy.
const BACK: Duration = Duration::from_secs(8);

/// How long a change may go unnoticed.
const NOTICED: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "failover.order")]
struct Order {
    number: u64,
}

#[subscribe(name = "failover.mail")]
async fn mail(order: &Order, State(numbers): State<Numbers>) {
    numbers.add(order.number);
}

#[subscribe(name = "failover.audit", pattern = "failover.#", broadcast)]
async fn audit(event: &AnyEvent, State(audited): State<Audited>) {
    audited.0.add(event.decode::<Order>().expect("an order").number);
}

#[derive(Debug, Clone, Default)]
struct Audited(Numbers);

/// A primary, its replica, and an address that leads to the primary, as that of a service does.
struct Pair {
    primary: RedisServer,
    replica: RedisServer,
    address: Proxy,
}

impl Pair {
    fn start() -> Self {
        let primary = RedisServer::start_with(RedisOptions::default().durable());
        let replica = RedisServer::replica_of(&primary);
        let address = Proxy::to(primary.address());
        Self { primary, replica, address }
    }

    fn url(&self) -> String {
        self.primary.url_by(self.address.address())
    }

    /// The two change roles; every connection stays open, and the address still leads to the former primary.
    fn swap(&self) {
        self.replica.catches_up_with(&self.primary);
        self.replica.lead();
        self.primary.follow(&self.replica);
    }
}

async fn start(config: BusConfig) -> (EventBusManager, EventBus, Numbers, Numbers) {
    let (numbers, audited) = (Numbers::default(), Audited::default());
    let manager = EventBusManager::builder()
        .service("failover")
        .subscribers("failover.*")
        .state(numbers.clone())
        .state(audited.clone())
        .bus("default", config)
        .start()
        .await
        .unwrap();
    let bus = manager.default_bus();
    (manager, bus, numbers, audited.0)
}

async fn leaves_a_demoted_primary(config: fn(String) -> BusConfig, keeps: bool) {
    let logged = Logged::start();
    let pair = Pair::start();
    let (manager, bus, numbers, audited) = start(config(pair.url())).await;
    bus.publish(Order { number: 1 }).await.unwrap();
    until("both handle it", SOON, || numbers.has(1) && audited.has(1)).await;

    pair.swap();
    let waiting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish(Order { number: 2 }).await }
    });
    until("health tells", NOTICED, || !bus.health().is_up).await;
    let (accepted, start) = (pair.address.accepted(), Instant::now());
    while start.elapsed() < Duration::from_secs(3) {
        assert!(!bus.health().is_up, "a replica is not used");
        sleep(Duration::from_millis(20)).await;
    }
    let attempts = pair.address.accepted() - accepted;
    assert!(attempts <= 20, "{attempts} connections within 3 seconds");
    let problem = bus.health().problem.expect("health says why");
    assert!(problem.contains("replica"), "{problem}");

    pair.address.lead_to(pair.replica.address());
    let start = Instant::now();
    until("health is good again", BACK, || {
        let health = bus.health();
        health.is_up && health.subscriptions.iter().all(|it| it.is_live)
    })
    .await;
    bus.publish(Order { number: 3 }).await.unwrap();
    until("both handle it", BACK, || numbers.has(3) && audited.has(3)).await;
    let took = start.elapsed();
    assert!(took < BACK, "{took:?}");
    println!("back after {took:?}");
    if keeps {
        waiting.await.unwrap().unwrap();
        until("both handle it", SOON, || numbers.has(2) && audited.has(2)).await;
    }
    assert!(!pair.primary.ask("INFO commandstats").unwrap().contains("cmdstat_none"));
    let lost = logged.lines(&["WARN", "lost the connection"]);
    let restored = logged.lines(&["INFO", "restored the connection"]);
    assert!(!lost.is_empty() && lost.len() == restored.len(), "{lost:?} {restored:?}");
    let warnings = logged.lines(&["WARN"]);
    assert_eq!(warnings.len(), lost.len(), "{warnings:?}");
    manager.shutdown().await.unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn streams_leave_a_demoted_primary_and_wait_for_another_one() {
    leaves_a_demoted_primary(BusConfig::redis_streams, true).await;
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn pubsub_leaves_a_demoted_primary_and_waits_for_another_one() {
    leaves_a_demoted_primary(BusConfig::redis, false).await;
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn idempotency_leaves_a_demoted_primary() {
    let pair = Pair::start();
    let store = RedisIdempotency::connect(&pair.url()).await.unwrap();
    let key = |number: &str| {
        let id = EventId::from(Arc::from(number));
        let event = Metadata::received(EventName::from_static("failover.order"), id, "/till");
        IdempotencyKey::new("failover", "mail", &event)
    };
    store.mark_handled(&key("1")).await.unwrap();
    pair.swap();
    assert!(store.mark_handled(&key("2")).await.is_err(), "a replica takes nothing");
    pair.address.lead_to(pair.replica.address());
    let start = Instant::now();
    while store.mark_handled(&key("3")).await.is_err() {
        assert!(start.elapsed() < BACK, "not back within {BACK:?}");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(
        store.is_handled(&key("1")).await.unwrap() && store.is_handled(&key("3")).await.unwrap()
    );
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn of_several_servers_the_one_that_can_be_written_to_is_used() {
    let pair = Pair::start();
    // The replica comes first.
    let url = format!("redis://{},{}/0", pair.replica.address(), pair.primary.address());
    let (manager, bus, numbers, audited) = start(BusConfig::redis_streams(url)).await;
    bus.publish(Order { number: 1 }).await.unwrap();
    until("both handle it", SOON, || numbers.has(1) && audited.has(1)).await;
    pair.swap();
    bus.publish(Order { number: 2 }).await.unwrap();
    until("both handle it", BACK, || numbers.has(2) && audited.has(2)).await;
    manager.shutdown().await.unwrap();
}

/// What a server that cannot be written to for a while does to a bus; `block` and `unblock` make it so.
async fn survives(
    options: RedisOptions,
    says: &str,
    block: impl FnOnce(&RedisServer),
    unblock: impl FnOnce(&RedisServer),
) {
    let server = RedisServer::start_with(options);
    let (manager, bus, numbers, audited) = start(BusConfig::redis_streams(server.url())).await;
    bus.publish(Order { number: 1 }).await.unwrap();
    until("both handle it", SOON, || numbers.has(1) && audited.has(1)).await;
    block(&server);
    until("health tells", NOTICED, || !bus.health().is_up).await;
    // Why may be known a moment later than that.
    until("health says why", NOTICED, || {
        bus.health().problem.is_some_and(|problem| problem.contains(says))
    })
    .await;
    let waiting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish(Order { number: 2 }).await }
    });
    unblock(&server);
    let start = Instant::now();
    waiting.await.unwrap().unwrap();
    bus.publish(Order { number: 3 }).await.unwrap();
    until("both handle all", BACK, || (2..4).all(|it| numbers.has(it) && audited.has(it))).await;
    println!("{says}: back after {:?}", start.elapsed());
    manager.shutdown().await.unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_server_that_lacks_replicas_is_waited_for() {
    survives(
        RedisOptions::default(),
        "NOREPLICAS",
        |server| server.does("CONFIG SET min-replicas-to-write 1"),
        |server| server.does("CONFIG SET min-replicas-to-write 0"),
    )
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_server_that_cannot_save_is_waited_for() {
    survives(
        RedisOptions::default().arguments(["--save", "3600 100000", "--dbfilename", "dump"]),
        "MISCONF",
        |server| {
            std::fs::create_dir(server.folder().join("dump")).unwrap();
            assert!(server.ask("BGSAVE").unwrap().starts_with('+'));
        },
        |server| {
            std::fs::remove_dir(server.folder().join("dump")).unwrap();
            server.does("SAVE");
        },
    )
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_server_that_stands_still_is_waited_for() {
    survives(RedisOptions::default(), "", |server| server.pause(), |server| server.resume()).await;
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_server_that_loads_its_data_is_waited_for() {
    let options = RedisOptions::default().durable().arguments([
        "--enable-debug-command",
        "yes",
        "--key-load-delay",
        "1000",
    ]);
    let mut server = RedisServer::start_with(options);
    let (manager, bus, numbers, audited) = start(BusConfig::redis_streams(server.url())).await;
    bus.publish(Order { number: 1 }).await.unwrap();
    until("both handle it", SOON, || numbers.has(1) && audited.has(1)).await;
    assert!(server.ask("DEBUG POPULATE 2000").unwrap().starts_with("+OK"));
    assert!(server.ask("BGREWRITEAOF").unwrap().starts_with('+'));
    until("it is rewritten", SOON, || {
        server.ask("INFO persistence").unwrap().contains("aof_rewrite_in_progress:0")
    })
    .await;
    server.kill();
    server.start_again_without_waiting();
    until("it is loading", SOON, || server.ask("PING").is_ok_and(|it| it.contains("LOADING")))
        .await;
    let second = bus.publish(Order { number: 2 }).await;
    second.unwrap();
    until("both handle it", SOON, || numbers.has(2) && audited.has(2)).await;
    manager.shutdown().await.unwrap();
}
