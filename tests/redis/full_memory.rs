//! A server whose memory is full: what frees room needs none.

use std::{sync::Arc, time::Duration};

use aury_events_backends::{Backend, DeadLetterReason, Settlement, redis::streams::StreamsBackend};

use crate::{
    backends::{
        Server, close, eventually, large_event, letters, next_within, subscribed, to_order,
        to_pattern,
    },
    brokers::{RedisOptions, RedisRelease, RedisServer},
};

const EVENT: usize = 20_000;

/// A server with little memory, which evicts nothing.
fn server(release: RedisRelease) -> Server {
    let options = ["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"];
    Server(RedisServer::start_with(RedisOptions::default().release(release).arguments(options)))
}

/// Publishes until the server takes no more; gives how many it took, and what it said.
async fn fill(backend: &StreamsBackend) -> (u32, String) {
    for number in 0.. {
        if let Err(error) = backend.publish(large_event("order", EVENT)).await {
            return (number, format!("{:#}", anyhow::Error::from(error)));
        }
    }
    unreachable!("memory is limited")
}

async fn has_room(backend: &Arc<StreamsBackend>) {
    eventually("the server takes events again", async || {
        backend.publish(large_event("order", EVENT)).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_worker_that_is_restarted_while_the_server_is_full_makes_room_again() {
    for release in RedisRelease::ALL {
        restarted_on(&server(release)).await;
    }
}

async fn restarted_on(server: &Server) {
    let publisher = server.backend().await;
    let worker = server.backend().await;
    drop(subscribed(&worker, to_order()).await);
    worker.close().await.unwrap();
    let (published, said) = fill(&publisher).await;
    assert!(published > 100, "{published}");
    assert!(said.contains("OOM"), "the server's words: {said}");
    assert!(said.contains("order"), "{said}");
    eventually("health shows it", async || {
        let health = publisher.health();
        !health.is_up && health.problem.is_some_and(|problem| problem.contains("OOM"))
    })
    .await;

    let worker = server.backend().await;
    let mut consumer = subscribed(&worker, to_order()).await;
    let (mut done, mut failed, mut again) = (0, 0, 0);
    while done + failed < published {
        let delivery = next_within(&mut consumer, Duration::from_secs(20)).await;
        let delivery = delivery.unwrap_or_else(|| panic!("{done} + {failed} of {published}"));
        let number = done + failed + again;
        if delivery.attempt() == 1 && number % 10 == 0 {
            again += 1;
            let after = Duration::from_millis(1_100);
            delivery.settle(Settlement::Retry { after }).await.unwrap();
        } else if number % 10 == 5 {
            failed += 1;
            let reason = DeadLetterReason::Panicked("it is so".to_owned());
            delivery.settle(Settlement::DeadLetter(reason)).await.unwrap();
        } else {
            done += 1;
            delivery.settle(Settlement::Ack).await.unwrap();
        }
    }
    assert!(failed > 10 && again > 10);
    assert_eq!(letters(&worker).await.len(), failed as usize);
    has_room(&publisher).await;
    eventually("health shows that it is over", async || {
        let health = publisher.health();
        health.is_up && health.problem.is_none()
    })
    .await;
    drop(consumer);
    close([&worker, &publisher]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_a_dead_process_held_is_taken_over_though_the_server_is_full() {
    for release in RedisRelease::ALL {
        taken_over_on(&server(release)).await;
    }
}

async fn taken_over_on(server: &Server) {
    let (publisher, dying) = (server.backend().await, server.backend().await);
    let consumer = subscribed(&dying, to_order()).await;
    let broadcast = subscribed(&publisher, to_pattern("#").broadcast()).await;
    let (published, _) = fill(&publisher).await;
    // It dies while it holds a window.
    std::mem::forget(consumer);
    drop(dying);
    drop(broadcast);
    let worker = server.backend().await;
    let mut consumer = subscribed(&worker, to_order()).await;
    for number in 0..published {
        let delivery = next_within(&mut consumer, Duration::from_secs(20)).await;
        let delivery = delivery.unwrap_or_else(|| panic!("{number} of {published}"));
        delivery.settle(Settlement::Ack).await.unwrap();
    }
    has_room(&publisher).await;
    close([&worker, &publisher]).await;
}
