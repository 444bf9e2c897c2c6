//! Panics in the tasks that keep subscriptions alive and settle: they are made again, and nothing is lost.

use aury_events::prelude::*;
use lapin::{options::QueueDeclareOptions, types::FieldTable};
use serde::{Deserialize, Serialize};

use crate::{
    brokers::{Amqp, RabbitServer},
    panicking::PanicsOver,
    seen_spans::listen,
    support::{Log, Place, SOON, eventually, until},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "panics.order")]
struct Order {
    number: u32,
    fails: bool,
}

const SHIP: &str = "panics.ship";

#[subscribe(name = "panics.ship")]
async fn ship(order: &Order, State(log): State<Log>) -> Result<(), &'static str> {
    log.add(format!("ship {}", order.number));
    if order.fails { Err("no such street") } else { Ok(()) }
}

fn has(log: &Log, number: u32) -> bool {
    log.entries().contains(&format!("ship {number}"))
}

/// How many consumers its queue has; none while it is gone.
async fn consumers(place: &Place) -> u32 {
    let amqp = Amqp::connect(&place.url).await;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = place.queue(SHIP).into();
    let declared = amqp.channel().queue_declare(queue, options, FieldTable::default()).await;
    declared.map_or(0, |queue| queue.consumer_count())
}

#[tokio::test]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_subscription_whose_task_panics_is_live_again() {
    let server = RabbitServer::shared();
    for line in ["a subscription was interrupted", "the subscription is live again"] {
        let place = Place::at(server.url());
        let panics = PanicsOver::new(line, 2);
        let _listening = listen(&panics.subscriber());
        let log = Log::default();
        let events = place.process(SHIP).state(log.clone()).start().await.unwrap();
        let bus = events.default_bus();
        bus.publish(Order { number: 0, fails: false }).await.unwrap();
        until("it is handled", SOON, || has(&log, 0)).await;
        for number in [1, 2] {
            let amqp = Amqp::connect(&place.url).await;
            amqp.delete(&place.queue(SHIP)).await;
            eventually("it consumes again", SOON, async || consumers(&place).await == 1).await;
            bus.publish(Order { number, fails: false }).await.unwrap();
            until("it is handled", SOON, || has(&log, number)).await;
        }
        assert!(panics.has_panicked(), "{line}");
        until("its health is good", SOON, || {
            let health = bus.health();
            health.subscriptions.iter().all(|it| it.is_live && it.problem.is_none())
        })
        .await;
        tokio::time::timeout(SOON, bus.settled()).await.expect("nothing is in flight");
        events.shutdown().await.unwrap();
    }
}

/// What is under way when one move panics is settled, too.
#[tokio::test]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn deliveries_are_settled_though_a_move_panics() {
    let server = RabbitServer::shared();
    let (user, host) = ("panics", "panics");
    for arguments in [
        &["add_vhost", host][..],
        &["add_user", user, "secret"],
        &["set_permissions", "-p", host, user, ".*", ".*", ".*"],
    ] {
        server.ctl(arguments);
    }
    let place = Place::at(server.url_with(user, "secret", host));
    let panics = PanicsOver::new("refused to settle a delivery", 2);
    let _listening = listen(&panics.subscriber());
    let log = Log::default();
    let events = place.process(SHIP).state(log.clone()).start().await.unwrap();
    let bus = events.default_bus();
    // It may write to no queue, and so move nothing to the dead letters.
    let write = "^(?!amq\\.default$).*";
    server.ctl(&["set_permissions", "-p", host, user, ".*", write, ".*"]);
    let orders = (0..20).map(|number| Order { number, fails: number % 2 == 0 });
    bus.publish_all(orders).await.unwrap();
    until("all are handled", SOON, || (0..20).all(|number| has(&log, number))).await;
    let amqp = Amqp::connect(&place.url).await;
    let dead = place.dead(SHIP);
    eventually("the queue puts them away", SOON, async || amqp.count(&dead).await == 10).await;
    tokio::time::timeout(SOON, bus.settled()).await.expect("nothing is in flight");
    assert!(panics.has_panicked());
    assert_eq!(amqp.count(&place.queue(SHIP)).await, 0);
    events.shutdown().await.unwrap();
}
