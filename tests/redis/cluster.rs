//! A cluster: all keys of a bus are on one node of it, which a hash tag in the prefix sees to.

use std::time::{Duration, Instant};

use aury_events::{EventId, IdempotencyKey, IdempotencyStore, RedisIdempotency, prelude::*};
use aury_events_backends::{EventName, Metadata};
use serde::{Deserialize, Serialize};

use crate::{
    brokers::{RedisCluster, RedisOptions},
    support::{Numbers, SOON, until},
};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "cluster.order")]
struct Order {
    number: u64,
}

#[subscribe(name = "cluster.mail", retry(attempts = 2, delay = "2s"))]
async fn mail(
    order: &Order,
    context: Context,
    State(numbers): State<Numbers>,
) -> Result<(), String> {
    if order.number % 10 == 1 && context.attempt() == 1 {
        return Err("once more".to_owned());
    }
    numbers.add(order.number);
    Ok(())
}

async fn start(config: BusConfig) -> Result<(EventBusManager, Numbers), String> {
    let numbers = Numbers::default();
    let manager = EventBusManager::builder()
        .service("cluster")
        .subscribers("cluster.*")
        .state(numbers.clone())
        .bus("default", config)
        .start()
        .await
        .map_err(|error| error.to_string())?;
    Ok((manager, numbers))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_bus_on_a_cluster_goes_on_when_its_node_fails_over_and_when_it_is_killed() {
    for is_lossy in [false, true] {
        let config = if is_lossy { BusConfig::redis } else { BusConfig::redis_streams };
        let mut cluster = RedisCluster::start_with(RedisOptions::default().durable());
        let owner = cluster.owner_of("{shop}:cluster.order");
        // Any node tells where the keys are.
        let other = config(cluster.url_of((owner + 1) % 3)).key_prefix("{shop}:");
        let (other, _) = start(other).await.unwrap();
        other.shutdown().await.unwrap();

        let (manager, numbers) = start(config(cluster.url()).key_prefix("{shop}:")).await.unwrap();
        let bus = manager.default_bus();
        twenty_are_handled(&bus, &numbers, 0, is_lossy).await;
        tokio::task::block_in_place(|| cluster.fail_over(owner));
        back(&bus).await;
        let first = twenty_are_handled(&bus, &numbers, 20, is_lossy).await;
        cluster.kill(owner);
        back(&bus).await;
        twenty_are_handled(&bus, &numbers, first, is_lossy).await;
        manager.shutdown().await.unwrap();
    }
}

/// Publishes twenty events, and waits until all are handled; gives the number of the next one. On Pub/Sub, which delivers
/// at most once, those are lost that are published before each connection has found the new primary: there, the next
/// twenty may be the ones.
async fn twenty_are_handled(
    bus: &EventBus,
    numbers: &Numbers,
    mut first: u64,
    is_lossy: bool,
) -> u64 {
    let patience = if is_lossy { Duration::from_secs(2) } else { SOON };
    let deadline = Instant::now() + SOON;
    loop {
        for number in first..first + 20 {
            bus.publish(Order { number }).await.unwrap();
        }
        let expected = (first..first + 20).collect();
        first += 20;
        let limit = deadline.min(Instant::now() + patience);
        while !numbers.missing_of(&expected).is_empty() && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let missing = numbers.missing_of(&expected);
        if missing.is_empty() {
            return first;
        }
        let is_late = Instant::now() >= deadline;
        assert!(is_lossy && !is_late, "not handled: {missing:?}; {:#?}", bus.health());
    }
}

/// Waits until the bus has noticed, and is up again.
async fn back(bus: &EventBus) {
    let _ = tokio::time::timeout(Duration::from_secs(3), async {
        while bus.health().is_up {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    until("the bus is up again", SOON, || {
        let health = bus.health();
        health.is_up && health.subscriptions.iter().all(|it| it.is_live)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_prefix_without_a_hash_tag_is_refused_with_the_remedy() {
    let cluster = RedisCluster::start();
    for config in [BusConfig::redis_streams(cluster.url()), BusConfig::redis(cluster.url())] {
        let error = start(config).await.unwrap_err();
        assert!(error.contains("the server is a cluster"), "{error}");
        assert!(error.contains("KEY_PREFIX={events}:"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn handled_events_are_remembered_on_a_cluster() {
    let cluster = RedisCluster::start();
    let key = |number: u32| {
        let id = EventId::from(std::sync::Arc::from(number.to_string()));
        let event = Metadata::received(EventName::from_static("cluster.order"), id, "/till");
        IdempotencyKey::new("cluster", "mail", &event)
    };
    let store = RedisIdempotency::connect(&cluster.url()).await.unwrap().key_prefix("shop:");
    for number in 0..20 {
        store.mark_handled(&key(number)).await.unwrap();
    }
    tokio::task::block_in_place(|| cluster.fail_over(cluster.owner_of("{handled}")));
    let start = Instant::now();
    while store.mark_handled(&key(20)).await.is_err() {
        assert!(start.elapsed() < SOON, "it does not come back");
    }
    for number in 0..=20 {
        assert!(store.is_handled(&key(number)).await.unwrap(), "{number}");
    }
}
