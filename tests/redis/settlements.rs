//! Settlements that the server refuses: each waits by itself.

use std::time::{Duration, Instant};

use aury_events_backends::{Backend, DeadLetterReason, Settlement};

use crate::backends::{
    Server, ack, eventually, letters, next, number, publish, subscribed, to_order,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_retry_that_is_refused_waits_in_the_process_and_holds_up_nothing() {
    const REFUSED: u64 = 100;
    let (server, [backend]) = Server::with_backends().await;
    let mut consumer = subscribed(&backend, to_order()).await;
    server.ask::<()>("SET events::delayed nonsense").await;
    publish(&backend, "order", 0..REFUSED).await;
    let after = Duration::from_secs(2);
    let start = Instant::now();
    for _ in 0..REFUSED {
        next(&mut consumer).await.settle(Settlement::Retry { after }).await.unwrap();
    }
    // Far more than may be held unsettled.
    publish(&backend, "order", REFUSED..REFUSED + 50).await;
    let reason = || DeadLetterReason::Panicked("it is so".to_owned());
    let mut stored = 0;
    let mut again = 0;
    while stored < 50 || again < REFUSED {
        let delivery = next(&mut consumer).await;
        if number(&delivery) < REFUSED {
            assert!(start.elapsed() >= after, "not before its time");
            assert_eq!(delivery.attempt(), 2);
            ack(delivery).await;
            again += 1;
        } else {
            delivery.settle(Settlement::DeadLetter(reason())).await.unwrap();
            stored += 1;
        }
    }
    assert_eq!(letters(&backend).await.len(), 50);
    backend.in_flight().settled().await;
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_dead_letter_that_is_refused_holds_up_neither_good_events_nor_the_end() {
    const REFUSED: u64 = 100;
    let (server, [backend]) = Server::with_backends().await;
    let mut consumer = subscribed(&backend, to_order()).await;
    server.ask::<()>("SET events::dead-letters:shop/mail nonsense").await;
    publish(&backend, "order", 0..REFUSED * 2).await;
    let reason = || DeadLetterReason::Panicked("it is so".to_owned());
    for expected in 0..REFUSED * 2 {
        let delivery = next(&mut consumer).await;
        assert_eq!(number(&delivery), expected);
        if expected < REFUSED {
            delivery.settle(Settlement::DeadLetter(reason())).await.unwrap();
        } else {
            ack(delivery).await;
        }
    }
    eventually("the good ones are settled", async || {
        server.pending().await == redis::Value::Int(REFUSED as i64)
    })
    .await;
    // When the cause is gone, they are stored.
    server.ask::<i64>("DEL events::dead-letters:shop/mail").await;
    eventually("all are stored", async || letters(&backend).await.len() == REFUSED as usize).await;
    backend.in_flight().settled().await;

    server.ask::<()>("SET events::delayed nonsense").await;
    server.ask::<i64>("DEL events::dead-letters:shop/mail").await;
    server.ask::<()>("SET events::dead-letters:shop/mail nonsense").await;
    publish(&backend, "order", 0..3).await;
    next(&mut consumer).await.settle(Settlement::DeadLetter(reason())).await.unwrap();
    let after = Duration::from_secs(3600);
    next(&mut consumer).await.settle(Settlement::Retry { after }).await.unwrap();
    ack(next(&mut consumer).await).await;
    let start = Instant::now();
    backend.close().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    // They are where they were.
    server.ask::<i64>("DEL events::dead-letters:shop/mail events::delayed").await;
    let backend = server.backend().await;
    let mut consumer = subscribed(&backend, to_order()).await;
    let mut numbers = [ack(next(&mut consumer).await).await, ack(next(&mut consumer).await).await];
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1]);
    backend.close().await.unwrap();
}
