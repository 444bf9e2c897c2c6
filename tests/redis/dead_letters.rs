//! Dead letters and delays on a Redis server, beyond the conformance suite.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aury_events::{DeadLetter, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::brokers::{RedisOptions, RedisServer};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order.placed")]
struct OrderPlaced {
    number: u32,
}

/// What subscribers were given: a text of their own each time.
type Heard = Arc<Mutex<Vec<String>>>;

/// What the first subscription of a process to `order.placed` is called.
const FIRST: &str = "dynamic::order.placed::1";

/// Both backends on a server.
fn both(server: &RedisServer) -> [BusConfig; 2] {
    [BusConfig::redis(server.url()), BusConfig::redis_streams(server.url())]
}

/// One process of a service.
async fn process(config: &BusConfig) -> EventBus {
    let config = config.clone().publish_timeout(Duration::from_secs(1));
    let builder = EventBusManager::builder().service("tests").subscribers("none");
    builder.bus("default", config).start().await.unwrap().default_bus()
}

/// Subscribes a handler that fails with every event the first time.
async fn fails_once(bus: &EventBus, heard: &Heard) {
    let heard = Arc::clone(heard);
    bus.subscribe(move |event: Arc<OrderPlaced>, context: Context| {
        let entry = format!("{}, attempt {}", event.number, context.attempt());
        let mut heard = heard.lock().unwrap();
        let is_known = heard.contains(&entry);
        heard.push(entry);
        async move { if is_known { Ok(()) } else { Err("not the first time") } }
    })
    .await
    .unwrap();
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), holds).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

async fn letters(bus: &EventBus) -> Vec<DeadLetter> {
    bus.dead_letters().of(FIRST).list().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_letter_that_several_replay_at_once_comes_once() {
    let server = RedisServer::start();
    for config in both(&server) {
        server.ask("FLUSHALL").unwrap();
        let (bus, operator) = (process(&config).await, process(&config).await);
        let heard = Heard::default();
        fails_once(&bus, &heard).await;
        for number in 0..5 {
            bus.publish(OrderPlaced { number }).await.unwrap();
        }
        until("five letters", async || letters(&operator).await.len() == 5).await;
        let replays: Vec<_> = [&bus, &operator, &operator]
            .map(|bus| tokio::spawn(bus.dead_letters().of(FIRST).replay_all()))
            .into();
        let mut replayed = 0;
        for replay in replays {
            replayed += replay.await.unwrap().unwrap();
        }
        assert_eq!(replayed, 5);
        until("all are handled", async || heard.lock().unwrap().len() == 10).await;
        sleep(Duration::from_millis(700)).await;
        assert_eq!(heard.lock().unwrap().len(), 10);
        assert!(letters(&operator).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_replay_to_nobody_is_an_error_though_a_pattern_may_select_anything() {
    let server = RedisServer::start();
    for config in both(&server) {
        server.ask("FLUSHALL").unwrap();
        // Without a prefix, a pattern selects every channel that there is.
        let config = config.key_prefix("");
        let (bus, all) = (process(&config).await, process(&config).await);
        let seen = Heard::default();
        let sees = Arc::clone(&seen);
        all.subscribe_pattern("#", move |event: AnyEvent| {
            sees.lock().unwrap().push(event.name().to_string());
            async {}
        })
        .await
        .unwrap();
        let fails = bus.subscribe(|_: Arc<OrderPlaced>| async { Err::<(), _>("never") });
        let fails = fails.await.unwrap();
        bus.publish(OrderPlaced { number: 1 }).await.unwrap();
        until("a letter", async || letters(&bus).await.len() == 1).await;
        assert_eq!(bus.dead_letters().replay_all().await.unwrap(), 1);
        until("it failed again", async || letters(&bus).await.len() == 1).await;
        fails.unsubscribe().await;
        until("it has left", async || {
            let letter = letters(&bus).await.remove(0);
            match letter.replay().await {
                Err(error) => error.is_not_subscribed(),
                Ok(_) => panic!("nobody was there"),
            }
        })
        .await;
        assert_eq!(letters(&bus).await.len(), 1, "it stays");
        until("the event is seen", async || !seen.lock().unwrap().is_empty()).await;
        assert_eq!(*seen.lock().unwrap(), ["order.placed"], "and its replays are not");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_subscriber_that_is_just_leaving_loses_no_letter() {
    let server = RedisServer::start();
    for config in both(&server) {
        server.ask("FLUSHALL").unwrap();
        let bus = process(&config).await;
        for round in 1..=10 {
            let id = format!("dynamic::order.placed::{round}");
            let fails = bus.subscribe(|_: Arc<OrderPlaced>| async { Err::<(), _>("never") });
            let fails = fails.await.unwrap();
            bus.publish(OrderPlaced { number: round }).await.unwrap();
            let list = async || bus.dead_letters().of(&*id).list().await.unwrap();
            until("a letter", async || list().await.len() == 1).await;
            let letter = list().await.remove(0);
            let replay = tokio::spawn(letter.replay());
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            fails.unsubscribe().await;
            // It was taken and failed again, or it stayed, or both, if the subscriber was gone before it had removed it.
            let _ = replay.await.unwrap();
            assert!(matches!(list().await.len(), 1 | 2), "in round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn redis_pub_sub_refuses_a_delay_and_says_what_else_there_is() {
    let server = RedisServer::start();
    let bus = process(&BusConfig::redis(server.url())).await;
    let event = bus.publish(OrderPlaced { number: 1 }).delay(Duration::from_secs(1));
    assert_eq!(
        event.await.unwrap_err().to_string(),
        "the backend `redis` of the bus `default` cannot publish with a delay: use `memory`, `redis-streams` or \
         `rabbitmq` for this bus, or wait before publishing"
    );
    bus.publish(OrderPlaced { number: 1 }).delay(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_delayed_event_of_redis_streams_survives_every_process_and_the_server() {
    let mut server = RedisServer::start_with(RedisOptions::default().durable());
    let config = BusConfig::redis_streams(server.url());
    let publisher = process(&config).await;
    let start = Instant::now();
    let delay = Duration::from_secs(3);
    publisher.publish(OrderPlaced { number: 1 }).delay(delay).await.unwrap();
    publisher.settled().await;
    drop(publisher);
    server.kill();
    server.start_again();
    let bus = process(&config).await;
    let heard = Heard::default();
    fails_once(&bus, &heard).await;
    until("it came", async || *heard.lock().unwrap() == ["1, attempt 1"]).await;
    assert!(start.elapsed() >= delay, "it came after {:?}", start.elapsed());
}
