//! A handler that blocks the only thread of its runtime. The process that it blocks is this program, started once more.

use std::{
    env,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    brokers::{Amqp, RabbitServer},
    support::{Log, Place, SOON, eventually},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "blocked.order")]
struct Order {
    number: u32,
    blocks: u64,
}

const WORKER: &str = "blocked.worker";
const PLACE: &str = "AURY_EVENTS_TEST_BLOCKED";

#[subscribe(name = "blocked.worker")]
async fn work(order: &Order, State(log): State<Log>) {
    log.add(format!("{}", order.number));
    if env::var_os(PLACE).is_some() {
        println!("\nhas begun");
        // This is what must not be done.
        thread::sleep(Duration::from_secs(order.blocks));
    }
}

#[tokio::test]
#[ignore = "it is a process of the tests beside it"]
async fn worker() {
    let Ok(told) = env::var(PLACE) else { return };
    let told: Vec<_> = told.split('|').collect();
    let [url, name, limit] = told[..] else { panic!("{told:?}") };
    let place = Place { url: url.to_owned(), name: name.to_owned() };
    let config = place.config().max_blocked(Duration::from_secs(limit.parse().unwrap()));
    let events = place.process_as(WORKER, config).state(Log::default()).start().await.unwrap();
    let bus = events.default_bus();
    let _ = tokio::time::timeout(2 * SOON, async {
        loop {
            sleep(Duration::from_millis(100)).await;
            let _ = bus.health();
        }
    })
    .await;
}

struct Blocked(Child);

impl Blocked {
    fn start(place: &Place, limit: &str) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["blocked_runtime::worker", "--exact", "--ignored", "--nocapture"])
            .env(PLACE, format!("{}|{}|{limit}", place.url, place.name))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A place whose queue is there, with heartbeats every second.
async fn place() -> Place {
    let place = Place::at(format!("{}?heartbeat=1", RabbitServer::shared().url()));
    let first = place.process(WORKER).state(Log::default()).start().await.unwrap();
    first.shutdown().await.unwrap();
    place
}

/// Blocks a process for so long; gives what others have handled by then, and at the end.
async fn others_handle(limit: &str, blocks: u64) -> (Vec<String>, Log, impl Sized) {
    let place = place().await;
    let publishing = place.process("none").start().await.unwrap();
    let blocked = Blocked::start(&place, limit);
    let amqp = Amqp::connect(&RabbitServer::shared().url()).await;
    let queue = place.queue(WORKER);
    publishing.default_bus().publish(Order { number: 1, blocks }).await.unwrap();
    eventually("it is taken", SOON, async || amqp.count(&queue).await == 0).await;
    let log = Log::default();
    let other = place.process(WORKER).state(log.clone()).start().await.unwrap();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(7) && log.entries().is_empty() {
        sleep(Duration::from_millis(50)).await;
    }
    (log.entries(), log, (blocked, other, publishing))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn heartbeats_go_on_while_a_handler_blocks_the_only_thread() {
    // Three times as long as a broker waits for heartbeats.
    let (others, _log, _kept) = others_handle("300", 20).await;
    assert!(others.is_empty(), "another process was given the event: {others:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn past_the_limit_a_blocked_process_gives_its_deliveries_up() {
    let (_, log, _kept) = others_handle("2", 60).await;
    assert_eq!(log.reaches(1).await, ["1"]);
}
