//! What the broker refuses belongs to one message: others are not failed, delayed or repeated.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aury_events::{PublishError, Unroutable, prelude::*};
use aury_events_backends::error::WithCauses;
use futures_util::future::join_all;
use lapin::{
    ExchangeKind,
    options::{
        ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use crate::{
    brokers::{Amqp, RabbitServer},
    support::{Place, SOON, eventually, until},
};

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "refusals.order")]
struct Order {
    number: u32,
    text: String,
}

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "refusals.admin")]
struct Admin {
    text: String,
}

/// How often each order has come.
#[derive(Clone, Default)]
struct Copies(Arc<Mutex<HashMap<u32, u32>>>);

impl Copies {
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn most(&self) -> u32 {
        self.0.lock().unwrap().values().copied().max().unwrap_or(0)
    }
}

#[subscribe(name = "refusals.order", concurrency = 64)]
async fn order(order: &Order, State(copies): State<Copies>) {
    *copies.0.lock().unwrap().entry(order.number).or_default() += 1;
}

fn numbered(number: u32) -> Order {
    Order { number, text: String::new() }
}

fn text(error: &PublishError) -> String {
    WithCauses(error).to_string()
}

/// How long a publish may take that the broker answers within a few round trips, on a busy machine. What waits for a
/// timeout takes ten seconds.
const FEW_ROUND_TRIPS: Duration = Duration::from_secs(4);

/// Publishes 400 orders from 100 tasks, and meanwhile, from ten more, what is refused. Gives what these were told, and how
/// long the slowest of the orders took.
async fn beside_orders<E: Event + Clone>(
    bus: &EventBus,
    refused: E,
) -> (Vec<PublishError>, Duration) {
    let orders = (0..100).map(|task| async move {
        let mut slowest = Duration::ZERO;
        for number in task * 4..task * 4 + 4 {
            let start = Instant::now();
            bus.publish(numbered(number)).await.expect("an order is published");
            slowest = slowest.max(start.elapsed());
        }
        slowest
    });
    let refused = (0..10).map(|_| {
        let refused = refused.clone();
        async move {
            let start = Instant::now();
            let error = bus.publish(refused).await.expect_err("it is refused");
            assert!(start.elapsed() < FEW_ROUND_TRIPS, "{:?}: {}", start.elapsed(), text(&error));
            error
        }
    });
    let (slowest, errors) = tokio::join!(join_all(orders), join_all(refused));
    (errors, slowest.into_iter().max().unwrap())
}

async fn check_orders(copies: &Copies) {
    until("all orders", SOON, || copies.len() == 400).await;
    let most = copies.most();
    println!("{most} copies at most");
    assert!(most <= 2, "{most}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_name_that_may_not_be_published_harms_no_other() {
    let server = RabbitServer::shared();
    let place = Place::at(server.url());
    let copies = Copies::default();
    let subscriber = place.process("refusals.order").state(copies.clone()).start().await.unwrap();
    block_in_place(|| {
        server.ctl(&["add_user", "clerk", "secret"]);
        server.ctl(&["set_permissions", "clerk", ".*", ".*", ".*"]);
        server.ctl(&["set_topic_permissions", "clerk", &place.name, "^refusals\\.order$", ".*"]);
    });
    let clerk = place.by(server.url_with("clerk", "secret", "%2f"));
    let events = clerk.process("none").start().await.unwrap();
    let (errors, slowest) =
        beside_orders(&events.default_bus(), Admin { text: String::new() }).await;
    println!("{}; slowest of the others {slowest:?}", text(&errors[0]));
    for error in &errors {
        let text = text(error);
        assert!(text.contains("refusals.admin") && text.contains("ACCESS_REFUSED"), "{text}");
    }
    check_orders(&copies).await;
    // A right that is given counts at once.
    block_in_place(|| server.ctl(&["clear_topic_permissions", "clerk", &place.name]));
    let bus = events.default_bus();
    eventually("it may be published", SOON, async || {
        bus.publish(Admin { text: String::new() }).await.is_ok()
    })
    .await;
    events.shutdown().await.unwrap();
    subscriber.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn an_event_that_is_too_large_for_the_broker_harms_no_other() {
    let server = block_in_place(|| RabbitServer::start_with("max_message_size = 1000000"));
    let place = Place::at(server.url());
    let copies = Copies::default();
    let events = place.process("refusals.order").state(copies.clone()).start().await.unwrap();
    let bus = events.default_bus();
    let large = Admin { text: "x".repeat(2_000_000) };
    let (errors, slowest) = beside_orders(&bus, large.clone()).await;
    println!("{}; slowest of the others {slowest:?}", text(&errors[0]));
    for error in &errors {
        let text = text(error);
        assert!(text.contains("refusals.admin") && text.contains("max size 1000000"), "{text}");
    }
    check_orders(&copies).await;
    let mut waiting = bus.publish(large).delay(Duration::from_secs(2));
    waiting = waiting.header("k", "v");
    let error = waiting.await.unwrap_err();
    assert!(text(&error).contains("max size 1000000"), "{}", text(&error));
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_full_queue_that_rejects_gives_the_others_one_copy_of_each() {
    let place = Place::at(RabbitServer::shared().url());
    let copies = Copies::default();
    let events = place.process("refusals.order").state(copies.clone()).start().await.unwrap();
    let amqp = Amqp::connect(&place.url).await;
    let full = format!("{}-full", place.name);
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(5));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let channel = amqp.channel();
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare((&*full).into(), options, arguments).await.unwrap();
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    let (exchange, key) = ((&*place.name).into(), "refusals.order".into());
    channel.queue_bind((&*full).into(), exchange, key, options, none).await.unwrap();

    let bus = events.default_bus();
    let mut refused = 0;
    for number in 0..20 {
        let start = Instant::now();
        if let Err(error) = bus.publish(numbered(number)).await {
            assert!(start.elapsed() < FEW_ROUND_TRIPS);
            let text = text(&error);
            assert!(text.contains("refusals.order") && text.contains("full"), "{text}");
            refused += 1;
        }
    }
    assert!((14..=15).contains(&refused), "{refused} of 20 were refused");
    until("all orders", SOON, || copies.len() == 20).await;
    assert_eq!(copies.most(), 1);
    amqp.delete(&full).await;
    bus.publish(numbered(20)).await.expect("there is room again");
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn of_many_events_under_way_exactly_those_without_a_route_are_returned() {
    let place = Place::at(RabbitServer::shared().url());
    let copies = Copies::default();
    let strict = place.config().unroutable(Unroutable::Error);
    let process = place.process_as("refusals.order", strict).state(copies.clone());
    let events = process.start().await.unwrap();
    let bus = &events.default_bus();
    let start = Instant::now();
    let publishing = (0..2_000_u32).map(|number| async move {
        // Neighbours of both kinds, in no pattern.
        if (number.wrapping_mul(2_654_435_761) >> 16).is_multiple_of(3) {
            let error = bus.publish(Admin { text: number.to_string() }).await.unwrap_err();
            let text = text(&error);
            assert!(text.contains("NO_ROUTE") && text.contains("refusals.admin"), "{text}");
            0
        } else {
            bus.publish(numbered(number)).await.expect("it has a route");
            1
        }
    });
    let routed: usize = join_all(publishing).await.into_iter().sum();
    println!("2,000 in {:?}, {routed} of them with a route", start.elapsed());
    until("all that have a route", SOON, || copies.len() == routed).await;
    assert_eq!(copies.most(), 1);
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn an_exchange_that_is_deleted_is_made_again() {
    let place = Place::at(RabbitServer::shared().url());
    let events = place.process("none").start().await.unwrap();
    let bus = &events.default_bus();
    bus.publish(numbered(0)).await.unwrap();
    let amqp = Amqp::connect(&place.url).await;
    let deleting = ExchangeDeleteOptions::default();
    amqp.channel().exchange_delete((&*place.name).into(), deleting).await.unwrap();
    let publishing = (0..50).map(|number| bus.publish(numbered(number)));
    for outcome in join_all(publishing).await {
        outcome.expect("it is published to the new exchange");
    }
    let options = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let (kind, none) = (ExchangeKind::Topic, FieldTable::default());
    let declared =
        amqp.channel().exchange_declare((&*place.name).into(), kind, options, none).await;
    declared.expect("it is there");
    events.shutdown().await.unwrap();
}
