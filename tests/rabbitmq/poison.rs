//! Messages that nobody can handle: they end in the queue of dead letters, and hold up nobody.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use aury_events::{QueueType, prelude::*};
use lapin::types::AMQPValue;
use serde::{Deserialize, Serialize};

use crate::{
    brokers::{Amqp, RabbitServer},
    support::{Log, Place, SOON, eventually},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "poison.order")]
struct Order {
    number: u32,
    is_poison: bool,
}

/// Whether what was poison is none any more.
#[derive(Clone, Default)]
struct Healed(Arc<AtomicBool>);

const MAIL: &str = "poison.mail";
const STOCK: &str = "poison.stock";

#[subscribe(name = "poison.mail", retry(attempts = 3, delay = "20ms"))]
async fn mail(
    order: &Order,
    State(log): State<Log>,
    State(healed): State<Healed>,
) -> Result<(), &'static str> {
    log.add(format!("mail {}", order.number));
    if order.is_poison && !healed.0.load(SeqCst) { Err("the printer is on fire") } else { Ok(()) }
}

#[subscribe(name = "poison.stock")]
async fn stock(order: &Order, State(log): State<Log>) {
    log.add(format!("stock {}", order.number));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn poison_ends_in_the_dead_queue_and_a_replay_reaches_its_subscriber_alone() {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        poison(queue_type).await;
    }
}

async fn poison(queue_type: QueueType) {
    let server = RabbitServer::shared();
    let place = Place::at(server.url());
    let (log, healed) = (Log::default(), Healed::default());
    let process = place.process_as("poison.*", place.config().queue_type(queue_type));
    let events = process.state(log.clone()).state(healed.clone()).start().await.unwrap();
    let bus = events.default_bus();
    let amqp = Amqp::connect(&server.url()).await;

    amqp.publish(&place.name, "poison.order", b"{\"no event").await;
    bus.publish(Order { number: 1, is_poison: true }).await.unwrap();
    bus.publish(Order { number: 2, is_poison: false }).await.unwrap();
    let all = ["mail 1", "mail 1", "mail 1", "mail 2", "stock 1", "stock 2"];
    assert_eq!(log.reaches(all.len()).await, all);
    let held = async |queue: String, count| {
        eventually(&queue, SOON, async || amqp.count(&queue).await == count).await;
    };
    held(place.dead(MAIL), 2).await;
    held(place.dead(STOCK), 1).await;
    held(place.queue(MAIL), 0).await;

    let letters = bus.dead_letters().of(MAIL).list().await.unwrap();
    let [garbage, failed] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(&*garbage.envelope.payload().json().unwrap(), b"{\"no event");
    assert_eq!(garbage.attempts, 1);
    assert_eq!((&*failed.subscriber, failed.attempts), (MAIL, 3));
    assert!(failed.reason.contains("the printer is on fire"), "{}", failed.reason);
    assert_eq!(bus.dead_letters().list().await.unwrap().len(), 3);

    // They outlive the process that could not handle them.
    events.shutdown().await.unwrap();
    let process = place.process_as("poison.*", place.config().queue_type(queue_type));
    let events = process.state(log.clone()).state(healed.clone()).start().await.unwrap();
    let bus = events.default_bus();
    let again = async || {
        let mut letters = bus.dead_letters().of(MAIL).list().await.unwrap();
        let at = letters.iter().position(|it| it.reason.contains("on fire")).expect("it is there");
        assert!(letters.swap_remove(at).replay().await.unwrap());
    };
    // Replayed in vain, it gets all its attempts again and comes back.
    again().await;
    assert_eq!(log.reaches(all.len() + 3).await[..6], ["mail 1"; 6]);
    held(place.dead(MAIL), 2).await;
    healed.0.store(true, SeqCst);
    again().await;
    log.reaches(all.len() + 4).await;
    held(place.dead(MAIL), 1).await;
    tokio::time::timeout(SOON, bus.settled()).await.unwrap();
    let stocked = log.entries().iter().filter(|entry| *entry == "stock 1").count();
    assert_eq!(stocked, 1, "a replay concerns no other subscriber");

    assert_eq!(bus.dead_letters().purge_all().await.unwrap(), 2);
    held(place.dead(MAIL), 0).await;
    held(place.dead(STOCK), 0).await;
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_dead_letter_says_who_could_not_handle_it_and_why() {
    let server = RabbitServer::shared();
    let place = Place::at(server.url());
    let process = place.process(MAIL).state(Log::default()).state(Healed::default());
    let events = process.start().await.unwrap();
    let id = events.default_bus().publish(Order { number: 1, is_poison: true }).await.unwrap();
    let (amqp, dead) = (Amqp::connect(&server.url()).await, place.dead(MAIL));
    eventually("it is dead", SOON, async || amqp.count(&dead).await == 1).await;
    let letter = amqp.get(&dead).await.unwrap();
    let headers = letter.properties.headers().clone().unwrap();
    let text = |name: &str| match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        Some(AMQPValue::LongLongInt(number)) => number.to_string(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(text("aury-subscriber"), MAIL);
    assert!(text("aury-reason").contains("the printer is on fire"), "{}", text("aury-reason"));
    assert_eq!((&*text("aury-attempts"), &*text("aury-routing-key")), ("3", "poison.order"));
    assert!(text("aury-time").parse::<u64>().unwrap() > 1_700_000_000_000);
    let event: serde_json::Value = serde_json::from_slice(&letter.body).unwrap();
    assert_eq!((&event["id"], &event["data"]["number"]), (&id.to_string().into(), &1.into()));
    events.shutdown().await.unwrap();
}
