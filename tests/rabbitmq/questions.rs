//! Questions about dead letters are answered in time, and hold no more than a page.

use std::time::{Duration, Instant};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    brokers::{Proxy, RabbitServer},
    support::{Log, Place, SOON},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "questions.order")]
struct Order {
    number: u32,
    text: String,
}

const SHIP: &str = "questions.ship";

#[subscribe(name = "questions.ship")]
async fn ship(order: &Order, State(log): State<Log>) -> Result<(), &'static str> {
    log.add(format!("ship {}", order.number));
    Err("no such street")
}

fn order(number: u32, size: usize) -> Order {
    Order { number, text: "x".repeat(size) }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_question_is_answered_within_the_publish_timeout_though_the_broker_is_gone() {
    let server = RabbitServer::shared();
    let proxy = Proxy::to(server.address());
    let place = Place::at(server.url_by(proxy.address()));
    let limit = Duration::from_secs(2);
    let process = place.process_as(SHIP, place.config().publish_timeout(limit));
    let events = process.state(Log::default()).start().await.unwrap();
    let bus = events.default_bus();
    bus.publish(order(0, 1)).await.unwrap();
    let mut letters = Vec::new();
    // What was published is on its way to this process for a while.
    while letters.is_empty() {
        letters = bus.dead_letters().of(SHIP).list().await.unwrap();
    }
    let letter = letters.remove(0);

    // It answers nothing, and then it is not there at all.
    for is_there in [true, false] {
        if is_there {
            proxy.stall();
        } else {
            proxy.resume();
            proxy.refuse(true);
            proxy.cut();
        }
        let start = Instant::now();
        assert!(bus.dead_letters().of(SHIP).list().await.is_err());
        assert!(letter.clone().replay().await.is_err());
        assert!(bus.dead_letters().of(SHIP).purge_all().await.is_err());
        // Three questions, each within the limit; the rest is slack.
        assert!(start.elapsed() < 3 * limit + Duration::from_secs(5), "{:?}", start.elapsed());
    }
    proxy.refuse(false);
    let start = Instant::now();
    while bus.dead_letters().of(SHIP).list().await.is_err() {
        assert!(start.elapsed() < SOON);
    }
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn large_letters_are_read_page_by_page_and_each_can_be_replayed() {
    const LETTERS: u32 = 20;
    let server = RabbitServer::shared();
    let place = Place::at(server.url());
    let log = Log::default();
    let events = place.process(SHIP).state(log.clone()).start().await.unwrap();
    let bus = events.default_bus();
    for number in 0..LETTERS {
        bus.publish(order(number, 1024 * 1024)).await.unwrap();
    }
    log.reaches(LETTERS as usize).await;
    tokio::time::timeout(SOON, bus.settled()).await.unwrap();
    let letters = bus.dead_letters().of(SHIP).list().await.unwrap();
    assert_eq!(letters.len(), LETTERS as usize);
    // Of the first page and of the last.
    for letter in [&letters[0], &letters[letters.len() - 1]] {
        assert!(letter.clone().replay().await.unwrap());
    }
    log.reaches(LETTERS as usize + 2).await;
    tokio::time::timeout(SOON, bus.settled()).await.unwrap();
    assert_eq!(bus.dead_letters().of(SHIP).purge_all().await.unwrap(), LETTERS as usize);
    events.shutdown().await.unwrap();
}
