//! Messages of others, with whatever bytes and properties: each is handled or a dead letter, and holds up nobody.

use aury_events::{QueueType, prelude::*};
use serde::{Deserialize, Serialize};

use crate::{
    brokers::{RabbitServer, RawAmqp, RawProperties, long, short},
    support::{Log, Place, SOON, eventually},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "foreign.order")]
struct Order {
    number: u32,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "foreign.other")]
struct Other {
    number: u32,
}

const ORDERS: &str = "foreign.orders";
const OTHERS: &str = "foreign.others";

#[subscribe(name = "foreign.orders")]
async fn orders(order: &Order, State(log): State<Log>) {
    log.add(format!("order {}", order.number));
}

#[subscribe(name = "foreign.others")]
async fn others(other: &Other, State(log): State<Log>) {
    log.add(format!("other {}", other.number));
}

const BODY: &[u8] = br#"{"number":7}"#;

/// Everything of a delivery that somebody can choose, at its worst; each with a body that is an event.
fn hostile() -> Vec<(Vec<u8>, RawProperties)> {
    let key = || b"foreign.order".to_vec();
    let properties = RawProperties::default;
    // The entry of a table: its name, its type and its value.
    let entry = |name: &[u8], kind: u8, value: &[u8]| [&*short(name), &[kind], value].concat();
    let deep = (0..3_000).fold(b"V".to_vec(), |inner, _| [b"A".to_vec(), long(&inner)].concat());
    let number = |name: &str, number: i64| entry(name.as_bytes(), b'l', &number.to_be_bytes());
    let forged = [
        number("aury-attempt", -(1 << 60)),
        number("aury-copy", i64::MIN),
        number("aury-time", i64::MAX),
        number("aury-attempts", -1),
        number("aury-interruptions", i64::MAX),
        entry(b"aury-subscriber", b'S', &long(OTHERS.as_bytes())),
        entry(b"aury-reason", b'S', &long(&[b'r'; 10_000])),
        entry(b"aury-routing-key", b'S', &long(b"foreign.other\xff")),
        entry(b"x-death", b'S', &long(b"never")),
        entry(b"x-delivery-count", b'l', &i64::MIN.to_be_bytes()),
    ];
    vec![
        (key(), properties().with_message_id(b"\xff\xfe\x00id")),
        (key(), properties().with_timestamp(18_446_744_073_695_295_616)),
        (key(), properties().with_timestamp(u64::MAX)),
        (key(), properties().with(0, &short(b"\xc3\x28")).with(1, &short(b"\xff"))),
        (key(), properties().with_headers(&entry(b"na\xffme", b'S', &long(b"\xff")))),
        (key(), properties().with_headers(&entry(b"deep", b'A', &deep[1..]))),
        (key(), properties().with_headers(&entry(b"t", b'T', &u64::MAX.to_be_bytes()))),
        (key(), properties().with_headers(&forged.concat())),
        (key(), properties().with(3, &[1]).with(4, &[255])),
        (key(), properties().with(5, &short(&[0xff; 255])).with(6, &short(&[0xfe; 255]))),
        (key(), properties().with(10, &short(b"foreign.other\xff"))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn whatever_others_send_is_handled_or_a_dead_letter_and_nobody_else_notices() {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let server = RabbitServer::shared();
        let place = Place::at(server.url());
        let log = Log::default();
        let process = place.process_as("foreign.*", place.config().queue_type(queue_type));
        let events = process.state(log.clone()).start().await.unwrap();
        let bus = events.default_bus();

        let hostile = hostile();
        let sent = hostile.len();
        let (address, exchange) = (server.address(), place.name.clone());
        let sending = tokio::task::spawn_blocking(move || {
            let mut raw = RawAmqp::connect(address);
            for (key, properties) in &hostile {
                raw.publish(&exchange, key, properties, BODY);
                raw.publish(&exchange, key, properties, b"\xff no event at all");
            }
        });
        for number in 0..20 {
            bus.publish(Other { number }).await.unwrap();
        }
        sending.await.unwrap();
        bus.publish(Order { number: 1_000 }).await.unwrap();

        eventually("the last order is handled", SOON, async || {
            log.entries().contains(&"order 1000".to_owned())
        })
        .await;
        tokio::time::timeout(SOON, bus.settled()).await.unwrap();
        let letters = bus.dead_letters().of(ORDERS).list().await.unwrap();
        let handled = log.entries().iter().filter(|entry| *entry == "order 7").count();
        assert_eq!(handled + letters.len(), 2 * sent, "{:?}\n{letters:#?}", log.entries());
        assert!(letters.iter().all(|letter| &*letter.subscriber == ORDERS), "{letters:#?}");
        let others = log.entries().iter().filter(|entry| entry.starts_with("other")).count();
        assert_eq!(others, 20, "nobody else has noticed, and nothing of it was repeated");
        assert_eq!(handled, sent, "what holds an event is handled: {letters:#?}");

        let health = bus.health();
        assert!(health.is_up && health.problem.is_none(), "{health:?}");
        // Replayed, it comes to the subscriber whose queue it was in.
        for letter in letters {
            assert!(letter.replay().await.unwrap());
        }
        tokio::time::timeout(SOON, bus.settled()).await.unwrap();
        eventually("they are dead again", SOON, async || {
            bus.dead_letters().of(ORDERS).list().await.unwrap().len() == sent
        })
        .await;
        assert!(bus.dead_letters().of(OTHERS).list().await.unwrap().is_empty());
        assert_eq!(bus.dead_letters().purge_all().await.unwrap(), sent);
        events.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_broker_without_a_limit_of_frames_does_not_decide_our_memory() {
    let server = tokio::task::spawn_blocking(|| RabbitServer::start_with("frame_max = 0")).await;
    let server = server.unwrap();
    let place = Place::at(server.url());
    let log = Log::default();
    let events = place.process(ORDERS).state(log.clone()).start().await.unwrap();
    events.default_bus().publish(Order { number: 1 }).await.unwrap();
    log.reaches(1).await;
    events.shutdown().await.unwrap();
}
