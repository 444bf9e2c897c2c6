//! What becomes of deliveries whose settlement the broker refuses, and how fast the others are moved.

use std::time::{Duration, Instant};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use crate::{
    brokers::{Amqp, RabbitServer},
    support::{Log, Place, SOON, eventually},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "settlements.order")]
struct Order {
    number: u32,
    fails: bool,
}

const SHIP: &str = "settlements.ship";

#[subscribe(name = "settlements.ship")]
async fn ship(order: &Order, State(log): State<Log>) -> Result<(), &'static str> {
    log.add(format!("ship {}", order.number));
    if order.fails { Err("no such street") } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_refused_dead_letter_takes_another_way_and_holds_up_nobody() {
    let server = block_in_place(RabbitServer::lease);
    let (user, host) = ("mover", "settlements");
    for arguments in [
        &["add_vhost", host][..],
        &["add_user", user, "secret"],
        &["set_permissions", "-p", host, user, ".*", ".*", ".*"],
    ] {
        block_in_place(|| server.ctl(arguments));
    }
    let place = Place::at(server.url_with(user, "secret", host));
    let log = Log::default();
    let events = place.process(SHIP).state(log.clone()).start().await.unwrap();
    let bus = events.default_bus();
    // From now on it may not write to the default exchange, and so to no queue.
    let write = "^(?!amq\\.default$).*";
    block_in_place(|| server.ctl(&["set_permissions", "-p", host, user, ".*", write, ".*"]));

    let orders = (0..40).map(|number| Order { number, fails: number % 2 == 0 });
    bus.publish_all(orders).await.unwrap();
    log.reaches(40).await;
    tokio::time::timeout(SOON, bus.settled()).await.expect("everything is settled");
    let amqp = Amqp::connect(&place.url).await;
    let dead = place.dead(SHIP);
    eventually("the queue has put them away", SOON, async || amqp.count(&dead).await == 20).await;
    assert_eq!(amqp.count(&place.queue(SHIP)).await, 0);
    let health = bus.health();
    let problem = health.subscriptions.iter().find_map(|it| it.problem.as_deref());
    assert!(problem.is_some_and(|it| it.contains("refused to settle")), "{health:?}");

    let letters = bus.dead_letters().of(SHIP).list().await.unwrap();
    assert_eq!(letters.len(), 20);
    assert!(letters[0].reason.contains("refused"), "{}", letters[0].reason);
    let start = Instant::now();
    events.shutdown().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// `cargo test --release ... throughput_of_moves -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: run it alone, in a release build"]
async fn throughput_of_moves() {
    const EVENTS: u32 = 20_000;
    let server = block_in_place(RabbitServer::shared);
    for prefetch in [32, 256, 1024] {
        let place = Place::at(server.url());
        let log = Log::default();
        let config = place.config().prefetch(prefetch);
        let first = place.process_as(SHIP, config.clone()).state(log.clone()).start().await;
        first.unwrap().shutdown().await.unwrap();
        let publishing = place.process_as("none", config.clone()).start().await.unwrap();
        let orders = (0..EVENTS).map(|number| Order { number, fails: true });
        publishing.default_bus().publish_all(orders).await.unwrap();
        let amqp = Amqp::connect(&server.url()).await;
        let start = Instant::now();
        let events = place.process_as(SHIP, config).state(log.clone()).start().await.unwrap();
        let dead = place.dead(SHIP);
        eventually("all are moved", 4 * SOON, async || amqp.count(&dead).await == EVENTS).await;
        let rate = f64::from(EVENTS) / start.elapsed().as_secs_f64();
        println!("prefetch {prefetch}: {rate:.0} moves per second");
        events.shutdown().await.unwrap();
        publishing.shutdown().await.unwrap();
    }
}
