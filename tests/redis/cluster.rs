//! A cluster: all keys of a bus are on one node of it, which a hash tag in the prefix sees to.

use std::time::Duration;

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
    for config in [BusConfig::redis_streams, BusConfig::redis] as [fn(String) -> BusConfig; 2] {
        let mut cluster = RedisCluster::start_with(RedisOptions::default().durable());
        let owner = cluster.owner_of("{shop}:cluster.order");
        // Any node tells where the keys are.
        let other = config(cluster.url_of((owner + 1) % 3)).key_prefix("{shop}:");
        let (other, _) = start(other).await.unwrap();
        other.shutdown().await.unwrap();

        let (manager, numbers) = start(config(cluster.url()).key_prefix("{shop}:")).await.unwrap();
        let bus = manager.default_bus();
        let publish = async |numbers: std::ops::Range<u64>| {
            for number in numbers {
                bus.publish(Order { number }).await.unwrap();
            }
        };
        publish(0..20).await;
        until("all are handled", SOON, || numbers.count() == 20).await;
        tokio::task::block_in_place(|| cluster.fail_over(owner));
        back(&bus).await;
        publish(20..40).await;
        until("all are handled after the failover", SOON, || numbers.count() == 40).await;
        cluster.kill(owner);
        back(&bus).await;
        publish(40..60).await;
        until("all are handled after the node was killed", SOON, || numbers.count() == 60).await;
        manager.shutdown().await.unwrap();
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
    let start = std::time::Instant::now();
    while store.mark_handled(&key(20)).await.is_err() {
        assert!(start.elapsed() < SOON, "it does not come back");
    }
    for number in 0..=20 {
        assert!(store.is_handled(&key(number)).await.unwrap(), "{number}");
    }
}
