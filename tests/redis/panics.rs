//! Panics in the tasks that read and settle: they are made again, and the subscriber goes on.

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    brokers::RedisServer,
    panicking::PanicsOver,
    seen_spans::listen,
    support::{Numbers, SOON, until},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "panics.order")]
struct Order {
    number: u64,
    fails: bool,
}

#[subscribe(name = "panics.ship")]
async fn ship(order: &Order, State(numbers): State<Numbers>) -> Result<(), &'static str> {
    numbers.add(order.number);
    if order.fails { Err("no such street") } else { Ok(()) }
}

/// A service on a bus, of which a task of ours panics over its first lines with that text.
struct Service {
    bus: EventBus,
    manager: EventBusManager,
    numbers: Numbers,
    next: u64,
}

impl Service {
    async fn start(config: BusConfig) -> Self {
        let numbers = Numbers::default();
        let builder = EventBusManager::builder().service("shop").subscribers("panics.*");
        let builder = builder.bus("default", config).state(numbers.clone());
        let manager = builder.start().await.unwrap();
        Self { bus: manager.default_bus(), manager, numbers, next: 0 }
    }

    /// Publishes an order, which is handled.
    async fn handles(&mut self, fails: bool) {
        let number = self.next;
        self.next += 1;
        self.bus.publish(Order { number, fails }).await.unwrap();
        until("it is handled", SOON, || self.numbers.has(number)).await;
    }

    /// Nothing is in flight, and its subscriber is live.
    async fn ends(self) {
        tokio::time::timeout(SOON, self.bus.settled()).await.expect("nothing is in flight");
        let health = self.bus.health();
        assert!(health.is_up && health.subscriptions.iter().all(|it| it.is_live), "{health:?}");
        self.manager.shutdown().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_reader_of_streams_that_panics_reads_on() {
    let server = RedisServer::start();
    let lines = PanicsOver::new("it is there again", 2);
    let _listening = listen(&lines.subscriber());
    let mut service = Service::start(BusConfig::redis_streams(server.url())).await;
    for _ in 0..3 {
        service.handles(false).await;
        server.ask("DEL events:panics.order").unwrap();
    }
    service.handles(false).await;
    assert!(lines.has_panicked());
    service.ends().await;
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_message_over_which_a_reader_of_streams_panics_is_a_dead_letter() {
    let server = RedisServer::start();
    let lines = PanicsOver::new("it becomes a dead letter", 1);
    let _listening = listen(&lines.subscriber());
    let mut service = Service::start(BusConfig::redis_streams(server.url())).await;
    server.ask("XADD events:panics.order * event nonsense").unwrap();
    service.handles(false).await;
    until("it panics", SOON, || lines.has_panicked()).await;
    service.handles(false).await;
    let letters = || async { service.bus.dead_letters().list().await.unwrap().len() };
    while letters().await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    service.ends().await;
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_settler_of_streams_that_panics_settles_the_rest() {
    let server = RedisServer::start();
    let lines = PanicsOver::new("Redis refuses to store", 1);
    let _listening = listen(&lines.subscriber());
    let mut service = Service::start(BusConfig::redis_streams(server.url())).await;
    let letters = "events::dead-letters:shop/panics.ship";
    server.ask(&format!("SET {letters} blocked")).unwrap();
    for fails in [true, true, false] {
        service.handles(fails).await;
    }
    until("it panics", SOON, || lines.has_panicked()).await;
    server.ask(&format!("DEL {letters}")).unwrap();
    service.handles(true).await;
    let bus = service.bus.clone();
    tokio::time::timeout(SOON, bus.settled()).await.expect("all are settled");
    assert_eq!(bus.dead_letters().list().await.unwrap().len(), 3);
    service.ends().await;
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_message_over_which_pubsub_panics_stops_nobody() {
    let server = RedisServer::start();
    let lines = PanicsOver::new("a message is no event", 1);
    let _listening = listen(&lines.subscriber());
    let mut service = Service::start(BusConfig::redis(server.url())).await;
    service.handles(false).await;
    server.ask("PUBLISH events:panics.order nonsense").unwrap();
    until("it panics", SOON, || lines.has_panicked()).await;
    // What is published while a new connection is made does not arrive.
    let mut number = 100;
    while !service.numbers.has(number) {
        number += 1;
        service.bus.publish(Order { number, fails: false }).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    service.ends().await;
}
