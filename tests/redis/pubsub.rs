//! `EVENT_BACKEND=redis` as an application meets it.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aury_events::{Unroutable, prelude::*};
use aury_events_backends::error::WithCauses;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::{
    brokers::{RedisOptions, RedisServer},
    support::Logged,
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order.created")]
struct OrderCreated {
    number: u64,
    text: String,
}

fn order(number: u64) -> OrderCreated {
    OrderCreated { number, text: "naïve ☕ \"quoted\" \u{0}".to_owned() }
}

/// One process of a service: it has a bus of its own.
async fn process(config: BusConfig) -> EventBus {
    let manager = EventBusManager::builder()
        .service("tests")
        .subscribers("none")
        .bus("default", config)
        .start()
        .await
        .unwrap();
    manager.default_bus()
}

/// The numbers that a subscriber was given.
type Numbers = Arc<Mutex<BTreeSet<u64>>>;

async fn hears(bus: &EventBus) -> Numbers {
    let numbers = Numbers::default();
    let heard = Arc::clone(&numbers);
    bus.subscribe(move |event: Arc<OrderCreated>| {
        assert_eq!(event.text, order(0).text);
        heard.lock().unwrap().insert(event.number);
        async {}
    })
    .await
    .unwrap();
    numbers
}

/// Waits for a condition, which has to hold in time.
async fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    let holds = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(limit, holds).await.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"));
    start.elapsed()
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn every_process_hears_every_event_once() {
    let server = RedisServer::start();
    let config = || BusConfig::redis(server.url()).queue_capacity(4096);
    let (first, second) = (process(config()).await, process(config()).await);
    let (one, two) = (hears(&first).await, hears(&second).await);
    first.publish(order(0)).await.unwrap();
    let ids = second.publish_all((1..3000).map(order)).await.unwrap();
    assert_eq!(ids.len(), 2999);
    until("both heard all", SOON, || {
        one.lock().unwrap().len() == 3000 && two.lock().unwrap().len() == 3000
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn buses_with_different_prefixes_do_not_mix() {
    let server = RedisServer::start();
    let ours = process(BusConfig::redis(server.url()).key_prefix("a*:")).await;
    let theirs = process(BusConfig::redis(server.url()).key_prefix("ab:")).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    ours.subscribe_pattern("#", move |event: AnyEvent, context: Context| {
        hears.lock().unwrap().push(format!("{} {:?}", event.name(), context.header("tenant")));
        async {}
    })
    .await
    .unwrap();
    theirs.publish(order(1)).await.unwrap();
    ours.publish(order(2)).header("tenant", "acme").await.unwrap();
    until("it came", SOON, || !heard.lock().unwrap().is_empty()).await;
    assert_eq!(*heard.lock().unwrap(), ["order.created Some(\"acme\")"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn subscribers_of_names_and_patterns_share_what_the_server_sends() {
    let server = RedisServer::start();
    let bus = process(BusConfig::redis(server.url())).await;
    let counts: Arc<[AtomicU64; 4]> = Arc::default();
    let count = |index: usize| {
        let counts = Arc::clone(&counts);
        move |_: AnyEvent| {
            counts[index].fetch_add(1, SeqCst);
            async {}
        }
    };
    let exact = hears(&bus).await;
    bus.subscribe_pattern("order.*", count(0)).await.unwrap();
    bus.subscribe_pattern("#.created", count(1)).await.unwrap();
    bus.subscribe_pattern("#.created", count(2)).await.unwrap();
    // Its glob selects the event and its pattern does not.
    bus.subscribe_pattern("order.*.#.*", count(3)).await.unwrap();
    for number in 0..10 {
        bus.publish(order(number)).await.unwrap();
    }
    until("all came", SOON, || {
        exact.lock().unwrap().len() == 10 && (0..3).all(|i| counts[i].load(SeqCst) == 10)
    })
    .await;
    bus.settled().await;
    assert_eq!([0, 1, 2, 3].map(|index| counts[index].load(SeqCst)), [10, 10, 10, 0]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_subscription_ends_at_the_server_with_its_last_subscriber() {
    let server = RedisServer::start();
    let bus = process(BusConfig::redis(server.url())).await;
    let listen = || bus.subscribe(|_: Arc<OrderCreated>| async {});
    let (first, second) = (listen().await.unwrap(), listen().await.unwrap());
    let listeners = async |expected: u64| -> bool {
        let deadline = Instant::now() + SOON;
        while Instant::now() < deadline {
            let answer = server.ask("PUBSUB NUMSUB events:order.created").unwrap();
            if answer.trim_end().ends_with(&format!(":{expected}")) {
                return true;
            }
            sleep(Duration::from_millis(2)).await;
        }
        false
    };
    let published = async |number| bus.publish(order(number)).await.unwrap();
    published(0).await;
    assert!(listeners(1).await, "two subscribers share one subscription");
    first.unsubscribe().await;
    published(1).await;
    assert!(listeners(1).await);
    second.unsubscribe().await;
    assert!(listeners(0).await);
    let heard = hears(&bus).await;
    assert!(listeners(1).await);
    published(1).await;
    until("it came", SOON, || heard.lock().unwrap().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_server_that_returns_is_found_within_two_seconds_and_nobody_has_to_ask() {
    let mut server = RedisServer::start();
    let (first, second) = (
        process(BusConfig::redis(server.url())).await,
        process(BusConfig::redis(server.url())).await,
    );
    let (one, two) = (hears(&first).await, hears(&second).await);
    for round in 0..3 {
        server.kill();
        until("the loss is noticed", SOON, || {
            let (first, second) = (first.health(), second.health());
            !first.is_up && !second.is_up && !second.subscriptions[0].is_live
        })
        .await;
        // Long enough that the waits between attempts are at their longest.
        sleep(Duration::from_secs(3)).await;
        let waiting = tokio::spawn({
            let first = first.clone();
            async move { first.publish(order(round)).await }
        });
        server.start_again();
        let took = until("all is up", Duration::from_secs(2), || {
            [&first, &second].iter().all(|bus| {
                let health = bus.health();
                health.is_up && health.subscriptions.iter().all(|it| it.is_live)
            })
        })
        .await;
        println!("round {round}: up {took:?} after the server's return");
        waiting.await.unwrap().expect("what waited for the server was published");
        second.publish(order(100 + round)).await.unwrap();
        until("both heard it", SOON, || {
            [&one, &two].iter().all(|heard| heard.lock().unwrap().contains(&(100 + round)))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn while_the_server_is_away_a_publish_fails_when_its_time_is_up() {
    let mut server = RedisServer::start();
    let limit = Duration::from_millis(300);
    let bus = process(BusConfig::redis(server.url()).publish_timeout(limit)).await;
    server.kill();
    // Until the loss is noticed, publishing fails at once. It has a connection of its own, so that the bus's health
    // may tell before.
    let deadline = Instant::now() + SOON;
    let (error, took) = loop {
        let start = Instant::now();
        let error = bus.publish(order(1)).await.unwrap_err();
        if start.elapsed() >= limit || Instant::now() > deadline {
            break (error, start.elapsed());
        }
    };
    assert!(took >= limit && took < limit * 3, "{took:?}");
    assert!(
        WithCauses(&error).to_string().contains("not connected to Redis"),
        "{}",
        WithCauses(&error)
    );
    assert!(!bus.health().is_up);
    let error = bus.publish_all((0..1000).map(order)).await.unwrap_err();
    assert!(
        WithCauses(&error).to_string().contains("not connected to Redis"),
        "{}",
        WithCauses(&error)
    );
}

/// The memory of this process, in bytes.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_slow_subscriber_costs_bounded_memory_and_its_loss_is_counted() {
    const EVENTS: u64 = 50_000;
    let server = RedisServer::start();
    let bus = process(BusConfig::redis(server.url())).await;
    let handled = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&handled);
    bus.subscribe(move |_: Arc<OrderCreated>| {
        let counts = Arc::clone(&counts);
        async move {
            sleep(Duration::from_millis(10)).await;
            counts.fetch_add(1, SeqCst);
        }
    })
    .await
    .unwrap();
    let quick = hears(&bus).await;
    let publish = async |from: u64, to: u64| {
        for start in (from..to).step_by(500) {
            bus.publish_all(
                (start..start + 500).map(|number| OrderCreated { number, text: order(0).text }),
            )
            .await
            .unwrap();
            // The quick one keeps up, so what it has not got is still under way.
            until("the quick one keeps up", SOON, || {
                quick.lock().unwrap().len() as u64 >= start + 500
            })
            .await;
        }
    };
    publish(0, EVENTS / 10).await;
    let before = resident();
    publish(EVENTS / 10, EVENTS).await;
    let grown = resident().saturating_sub(before);
    let dropped = |index: usize| bus.health().subscriptions[index].dropped;
    let slow = if dropped(0) > 0 { 0 } else { 1 };
    assert_eq!(dropped(1 - slow), 0, "the quick one lost nothing");
    assert!(dropped(slow) > EVENTS - 10_000, "{}", dropped(slow));
    assert!(grown < 16 << 20, "grown by {grown} bytes");
    timeout(Duration::from_secs(60), bus.settled()).await.unwrap();
    assert_eq!(handled.load(SeqCst) + dropped(slow), EVENTS, "each is handled or counted");
    println!("dropped {}, grown by {} KiB", dropped(slow), grown / 1024);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_fails_and_what_is_no_event_becomes_a_dead_letter() {
    let server = RedisServer::start();
    let bus = process(BusConfig::redis(server.url())).await;
    let subscription = bus
        .subscribe(|_: Arc<OrderCreated>| async { Err::<(), _>("the stock is empty") })
        .await
        .unwrap();
    let id = bus.publish(order(7)).await.unwrap();
    let letters = async |count: usize| {
        let deadline = Instant::now() + SOON;
        loop {
            let letters = bus.dead_letters().list().await.unwrap();
            if letters.len() == count {
                break letters;
            }
            assert!(Instant::now() < deadline, "{letters:?}");
        }
    };
    letters(1).await;
    let garbage: [&[u8]; 3] = [b"PUBLISH", b"events:order.created", b"\xff\x00 no event"];
    assert!(server.command(&garbage).unwrap().starts_with(":1"));
    let letters = letters(2).await;
    bus.settled().await;
    assert_eq!(letters[0].envelope.metadata().id(), id);
    assert_eq!(&*letters[0].subscriber, subscription.id());
    assert!(letters[0].reason.contains("the stock is empty"), "{}", letters[0].reason);
    assert_eq!(letters[0].envelope.payload().decode_json::<OrderCreated>().unwrap().number, 7);
    assert_eq!(&*letters[1].subscriber, subscription.id());
    assert_eq!(&*letters[1].envelope.payload().json().unwrap(), b"\xff\x00 no event");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_wrong_password_stops_the_start_at_once_and_is_not_shown() {
    let server = RedisServer::start_with(RedisOptions::default().password("right"));
    let start = Instant::now();
    for userinfo in [":hunter2@", "nobody:hunter2@", ""] {
        let url = format!("redis://{userinfo}{}", server.address());
        let started = EventBusManager::builder()
            .subscribers("none")
            .bus("default", BusConfig::redis(url))
            .start()
            .await;
        let error = started.expect_err("it is refused");
        let shown = format!("{} {error:?}", WithCauses(&error));
        assert!(!shown.contains("hunter2"), "{shown}");
        println!("{}", WithCauses(&error));
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let url = format!("redis://default:right@{}/3", server.address());
    let bus = process(BusConfig::redis(url)).await;
    let heard = hears(&bus).await;
    bus.publish(order(1)).await.unwrap();
    until("it came", SOON, || heard.lock().unwrap().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_unix_socket_is_as_good_as_a_port() {
    let server = RedisServer::start();
    let url = format!("{}?db=1", server.unix_url());
    let bus = process(BusConfig::redis(url)).await;
    let heard = hears(&bus).await;
    bus.publish(order(1)).await.unwrap();
    until("it came", SOON, || heard.lock().unwrap().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_server_that_is_late_is_waited_for() {
    let mut server = RedisServer::start();
    server.kill();
    let is_started = Arc::new(AtomicBool::new(false));
    let starting = tokio::spawn({
        let (url, is_started) = (server.url(), Arc::clone(&is_started));
        async move {
            let bus = process(BusConfig::redis(url)).await;
            is_started.store(true, SeqCst);
            bus
        }
    });
    sleep(Duration::from_millis(400)).await;
    assert!(!is_started.load(SeqCst));
    server.start_again();
    let bus = timeout(SOON, starting).await.unwrap().unwrap();
    bus.publish(order(1)).await.unwrap();

    server.kill();
    let config = BusConfig::redis(server.url()).connect_timeout(Duration::from_millis(300));
    let manager = EventBusManager::builder().subscribers("none").bus("default", config);
    let error = manager.start().await.expect_err("there is no server");
    println!("{}", WithCauses(&error));
    assert!(format!("{error:?} {}", WithCauses(&error)).contains("300ms"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_tls_url_needs_a_tls_server() {
    let server = RedisServer::start();
    let url = server.url().replace("redis://", "rediss://");
    let config = BusConfig::redis(url).connect_timeout(Duration::from_millis(500));
    let manager = EventBusManager::builder().subscribers("none").bus("default", config);
    assert!(manager.start().await.is_err(), "and it is an error, not a panic");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_server_that_stalls_is_given_up_and_found_again() {
    let server = RedisServer::start();
    let bus = process(BusConfig::redis(server.url())).await;
    let heard = hears(&bus).await;
    server.pause();
    let took = until("the silence is noticed", SOON, || {
        let health = bus.health();
        !health.is_up && !health.subscriptions[0].is_live
    })
    .await;
    println!("noticed after {took:?}");
    server.resume();
    let took = until("all is up", Duration::from_secs(2), || {
        let health = bus.health();
        health.is_up && health.subscriptions[0].is_live
    })
    .await;
    println!("up {took:?} after the server went on");
    bus.publish(order(1)).await.unwrap();
    until("it came", SOON, || heard.lock().unwrap().len() == 1).await;
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "pubsub.unheard")]
struct Unheard;

/// The server says how many it has given an event to.
#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn an_event_that_nobody_receives_is_warned_of_or_an_error() {
    let server = RedisServer::start();
    let logged = Logged::start();
    for unroutable in [Unroutable::Warn, Unroutable::Error] {
        let builder = EventBusManager::builder().service("shop").subscribers("none");
        let config = BusConfig::redis(server.url()).unroutable(unroutable);
        let manager = builder.bus("default", config).start().await.unwrap();
        let bus = manager.default_bus();
        let is_error = unroutable == Unroutable::Error;
        for _ in 0..2 {
            let published = bus.publish(Unheard).await;
            assert_eq!(published.is_err_and(|error| error.is_unroutable()), is_error);
            assert_eq!(bus.publish_all([Unheard, Unheard]).await.is_err(), is_error);
        }
        let subscription = bus.subscribe(|_: Arc<Unheard>| async {}).await.unwrap();
        bus.publish(Unheard).await.unwrap();
        bus.publish_all([Unheard, Unheard]).await.unwrap();
        subscription.unsubscribe().await;
        manager.shutdown().await.unwrap();
    }
    let lines = logged.lines(&["nobody listens to this event", "pubsub.unheard"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
}
