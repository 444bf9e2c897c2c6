//! What others have written where the framework keeps what is its own: it is set aside, and everything else goes on.

use std::time::Duration;

use aury_events_backends::{Backend, Outgoing, Settlement, redis::streams::StreamsBackend};

use crate::backends::{
    Server, ack, event, eventually, fail_next, letters, next, number, publish, subscribed, to,
    to_order, to_pattern,
};

/// The event of that number, as others may write it.
fn written(number: u64) -> String {
    format!(r#"{{"specversion":"1.0","id":"x","source":"/x","type":"order","data":{number}}}"#)
}

async fn publish_later(backend: &StreamsBackend, name: &'static str, number: u64) {
    let delay = Some(Duration::from_millis(200));
    backend.publish(Outgoing { delay, ..event(name, number) }).await.expect("it is confirmed");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_member_of_the_delayed_that_cannot_be_moved_keeps_no_other_waiting() {
    let (server, [backend]) = Server::with_backends().await;
    let mut consumer = subscribed(&backend, to_order()).await;
    server.ask::<()>("SET events:user nonsense").await;
    for member in ["nonsense", "\u{82}\u{a1}a", "3", "\u{93}\u{1}\u{2}\u{3}"] {
        server.ask::<i64>(&format!("ZADD events::delayed 0 {member}")).await;
    }
    publish_later(&backend, "user", 1).await;
    publish_later(&backend, "order", 2).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(number(&delivery), 2);
    delivery.settle(Settlement::Retry { after: Duration::from_millis(1_500) }).await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!((again.attempt(), ack(again).await), (2, 2));
    assert_eq!(server.ask::<i64>("ZCARD events::set-aside").await, 4);
    assert_eq!(server.ask::<i64>("ZCARD events::delayed").await, 1, "an event is not set aside");
    // When the cause is gone, the event comes.
    server.ask::<i64>("DEL events:user").await;
    let mut user = subscribed(&backend, to("user", "audit")).await;
    assert_eq!(ack(next(&mut user).await).await, 1);
    backend.in_flight().settled().await;
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_number_of_attempts_that_others_have_written_does_not_count() {
    let (server, [backend]) = Server::with_backends().await;
    let mut consumer = subscribed(&backend, to_order()).await;
    for forged in ["4000000000", "4294967295", "-1", "none"] {
        server
            .ask::<String>(&format!(
                "XADD events:order * event {} attempt {forged} interruptions 99",
                written(7)
            ))
            .await;
        for attempt in 1..=3 {
            let delivery = next(&mut consumer).await;
            assert_eq!((number(&delivery), delivery.attempt()), (7, attempt), "{forged}");
            if attempt == 3 {
                ack(delivery).await;
            } else {
                let after = Duration::from_millis(10);
                delivery.settle(Settlement::Retry { after }).await.unwrap();
            }
        }
    }
    // Nor do absurd ones where only the framework writes spoil anything.
    for forged in ["4294967295", "99999999999999", "-1", "none"] {
        let event = written(8);
        let forged = format!("XADD events::retry:shop/mail * event {event} attempt {forged}");
        server.ask::<String>(&forged).await;
        let delivery = next(&mut consumer).await;
        let after = Duration::from_millis(1_100);
        delivery.settle(Settlement::Retry { after }).await.unwrap();
        assert_eq!(ack(next(&mut consumer).await).await, 8);
    }
    backend.in_flight().settled().await;
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_dead_letter_is_not_removed_by_an_entry_that_names_it() {
    let (server, [backend]) = Server::with_backends().await;
    let mut consumer = subscribed(&backend, to_order().broadcast()).await;
    publish(&backend, "order", 0..1).await;
    fail_next(&mut consumer).await;
    let letter = letters(&backend).await.remove(0);
    let forged = format!("XADD events:order * event {} letter {}", written(7), letter.token());
    server.ask::<String>(&forged).await;
    assert_eq!(ack(next(&mut consumer).await).await, 7);
    backend.in_flight().settled().await;
    assert_eq!(letters(&backend).await.len(), 1);
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn one_key_of_another_kind_stops_neither_reading_nor_trimming_of_the_others() {
    let server = Server::start();
    server.ask::<i64>("SADD events::streams bad not/a/name order").await;
    server.ask::<()>("SET events:bad nonsense").await;
    server
        .ask::<i64>("HSET events::subscribers nonsense nonsense order nonsense *.! 5 bad 99")
        .await;
    server.ask::<i64>("HSET events::subscribers order\u{a0}x -1").await;
    server.ask::<i64>("HSET events::readers:order somebody nonsense").await;
    let backend = server.backend().await;
    let mut all = subscribed(&backend, to_pattern("#")).await;
    let mut mail = subscribed(&backend, to_order()).await;
    publish(&backend, "order", 0..500).await;
    for number in 0..500 {
        assert_eq!(ack(next(&mut all).await).await, number);
        assert_eq!(ack(next(&mut mail).await).await, number);
    }
    let length = async || server.ask::<u64>("XLEN events:order").await;
    eventually("the stream is trimmed", async || length().await < 200).await;
    // One that turns into something else while it is read.
    publish(&backend, "user", 0..1).await;
    assert_eq!(ack(next(&mut all).await).await, 0);
    backend.in_flight().settled().await;
    server.ask::<i64>("DEL events:user").await;
    server.ask::<()>("SET events:user nonsense").await;
    publish(&backend, "order", 500..501).await;
    assert_eq!(ack(next(&mut all).await).await, 500);
    assert_eq!(ack(next(&mut mail).await).await, 500);
    backend.in_flight().settled().await;
    backend.close().await.unwrap();
}
