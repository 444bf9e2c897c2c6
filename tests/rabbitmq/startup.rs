//! What stops the start, and what is waited for.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use aury_events::{ExchangeType, QueueType, prelude::*};
use aury_events_backends::error::WithCauses;
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use crate::{
    brokers::{Amqp, RabbitServer},
    support::{Log, Place, SOON},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "startup.order")]
struct Order {
    number: u32,
}

#[subscribe(name = "startup.mail")]
async fn mail(order: &Order, State(log): State<Log>) {
    log.add(order.number.to_string());
}

const MAIL: &str = "startup.mail";

/// What stops a process from starting, in all words that it has.
async fn refusal(place: &Place, config: BusConfig) -> String {
    let started = place.process_as(MAIL, config).state(Log::default()).start().await;
    let error = started.expect_err("it is refused");
    format!("{} {error:?}", WithCauses(&error))
}

/// An event goes through.
async fn works(place: &Place) {
    let log = Log::default();
    let events = place.process(MAIL).state(log.clone()).start().await.unwrap();
    events.default_bus().publish(Order { number: 7 }).await.unwrap();
    assert_eq!(log.reaches(1).await, ["7"]);
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn wrong_credentials_stop_the_start_at_once_and_are_not_shown() {
    let server = RabbitServer::shared();
    for url in [
        server.url_with("guest", "hunter2", "%2f"),
        server.url_with("nobody", "hunter2", "%2f"),
        server.url_with("guest", "guest", "nowhere"),
    ] {
        let place = Place::at(&*url);
        let start = Instant::now();
        let shown = refusal(&place, place.config()).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{url}: {:?}", start.elapsed());
        assert!(!shown.contains("hunter2") && !shown.contains("guest:guest"), "{shown}");
        if url.ends_with("nowhere") {
            assert!(shown.contains("nowhere"), "{shown}");
        }
        println!("{}", shown.split(" StartError").next().unwrap_or(&shown));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn credentials_and_virtual_hosts_with_reserved_characters_work() {
    let server = RabbitServer::shared();
    block_in_place(|| {
        server.ctl(&["add_user", "us@er", "p/w:?#%"]);
        server.ctl(&["add_vhost", "v/host"]);
        server.ctl(&["set_permissions", "--vhost", "v/host", "us@er", ".*", ".*", ".*"]);
    });
    let place = Place::at(server.url_with("us%40er", "p%2Fw%3A%3F%23%25", "v%2Fhost"));
    works(&place).await;
    let queues = block_in_place(|| server.ctl(&["list_queues", "--vhost", "v/host", "name"]));
    assert!(queues.lines().any(|name| name == place.queue(MAIL)), "{queues}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_user_who_may_not_declare_queues_is_told_so() {
    let server = RabbitServer::shared();
    block_in_place(|| {
        server.ctl(&["add_user", "reader", "secret"]);
        server.ctl(&["set_permissions", "reader", "", "", ".*"]);
    });
    let place = Place::at(server.url_with("reader", "secret", "%2f"));
    let start = Instant::now();
    let shown = refusal(&place, place.config()).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(shown.contains("ACCESS_REFUSED") && shown.contains(&place.name), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_broker_that_is_late_is_waited_for() {
    let mut server = block_in_place(RabbitServer::lease);
    server.kill();
    let place = Place::at(server.url());
    let starting = tokio::spawn({
        let place = place.clone();
        async move { works(&place).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!starting.is_finished(), "it does not wait");
    block_in_place(|| server.start_again());
    tokio::time::timeout(SOON, starting).await.expect("it starts soon").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_broker_that_does_not_come_is_waited_for_no_longer_than_said() {
    let nobody: SocketAddr = ([127, 0, 0, 1], 1).into();
    let place = Place::at(format!("amqp://guest:hunter2@{nobody}/%2f"));
    let limit = Duration::from_secs(2);
    let start = Instant::now();
    let shown = refusal(&place, place.config().connect_timeout(limit)).await;
    let took = start.elapsed();
    assert!(took > limit / 2 && took < limit * 3, "{took:?}");
    assert!(shown.contains("refused") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_queue_of_another_type_stops_the_start_and_stays_as_it_is() {
    let server = RabbitServer::shared();
    let place = Place::at(server.url());
    let (amqp, queue) = (Amqp::connect(&server.url()).await, place.queue(MAIL));
    let of_classic = place.config().queue_type(QueueType::Classic);
    let events = place.process_as(MAIL, of_classic).state(Log::default()).start().await.unwrap();
    events.shutdown().await.unwrap();
    amqp.publish("", &queue, b"kept").await;
    let shown = refusal(&place, place.config()).await;
    for part in [&*queue, "x-queue-type", "classic", "quorum", "EVENT_QUEUE_TYPE", "delete"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    println!("{shown}");
    assert_eq!(amqp.get(&queue).await.unwrap().body, b"kept");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn an_exchange_of_another_type_stops_the_start_and_stays_as_it_is() {
    let server = RabbitServer::shared();
    let place = Place::at(server.url());
    works(&place).await;
    let shown = refusal(&place, place.config().exchange_type(ExchangeType::Fanout)).await;
    for part in [&*place.name, "'type'", "topic", "fanout", "EVENT_EXCHANGE_TYPE"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    println!("{shown}");
    works(&place).await;
}
