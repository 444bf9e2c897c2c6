//! Queues are bounded, and nothing deadlocks over it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use aury_events::{PublishError, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, time::timeout};

use crate::support::{Log, in_time, manager_of};

const CAPACITY: usize = 8;

fn small() -> BusConfig {
    BusConfig::memory().queue_capacity(CAPACITY)
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "backpressure.slow")]
struct Slow(usize);

/// Lets the slow subscriber handle as many events as it has permits.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

#[subscribe(name = "backpressure.bound.slow")]
async fn slow(event: &Slow, State(gate): State<Gate>, State(log): State<Log>) {
    gate.0.acquire().await.unwrap().forget();
    log.add(event.0.to_string());
}

#[subscribe(name = "backpressure.bound.fast")]
async fn fast(_: &Slow, State(count): State<Arc<AtomicUsize>>) {
    count.fetch_add(1, SeqCst);
}

#[tokio::test]
async fn a_slow_subscriber_makes_the_publisher_wait_so_that_memory_stays_bounded() {
    let (gate, fast) = (Gate(Arc::new(Semaphore::new(0))), Arc::new(AtomicUsize::new(0)));
    let (builder, log) = manager_of("backpressure");
    let builder = builder.subscribers("backpressure.bound.*").bus("default", small());
    let events = builder.state(gate.clone()).state(Arc::clone(&fast)).start().await.unwrap();
    let bus = events.default_bus();

    let accepted = Arc::new(AtomicUsize::new(0));
    let publisher = tokio::spawn({
        let (bus, accepted) = (bus.clone(), Arc::clone(&accepted));
        async move {
            for number in 0..1_000 {
                bus.publish(Slow(number)).await.unwrap();
                accepted.fetch_add(1, SeqCst);
            }
        }
    });
    // One event is with the handler, CAPACITY are in its queue, one is with the publisher. The last one has reached the
    // other subscriber all the same: a slow one holds back nobody.
    in_time(async {
        while fast.load(SeqCst) < CAPACITY + 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(accepted.load(SeqCst), CAPACITY + 1);
    assert_eq!(fast.load(SeqCst), CAPACITY + 2);
    let health = bus.health();
    let slow = health.subscriptions.iter().find(|s| &*s.subscriber == "backpressure.bound.slow");
    assert_eq!(slow.unwrap().in_flight, CAPACITY as u64 + 2);

    gate.0.add_permits(1_000);
    in_time(publisher).await.unwrap();
    in_time(bus.settled()).await;
    let numbers: Vec<_> = (0..1_000).map(|number| number.to_string()).collect();
    assert_eq!(log.entries(), numbers);
}

#[tokio::test]
async fn a_publish_that_is_cancelled_while_it_waits_leaves_no_trace() {
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let (builder, log) = manager_of("backpressure");
    let builder = builder.subscribers("backpressure.bound.slow").bus("default", small());
    let bus = builder.state(gate.clone()).start().await.unwrap().default_bus();
    for number in 0..CAPACITY {
        bus.publish(Slow(number)).await.unwrap();
        tokio::task::yield_now().await;
    }
    bus.publish(Slow(CAPACITY)).await.unwrap();
    let waiting = timeout(Duration::from_millis(20), bus.publish(Slow(99))).await;
    assert!(waiting.is_err(), "the queue is full");

    gate.0.add_permits(100);
    in_time(bus.settled()).await;
    assert_eq!(log.entries().len(), CAPACITY + 1);
    bus.publish(Slow(100)).await.unwrap();
    in_time(bus.settled()).await;
    assert_eq!(log.entries().last().unwrap(), "100");
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "backpressure.flood")]
struct Flood {
    left: usize,
}

/// Publishes more into its own queue than there is room for, before it takes any of it.
#[subscribe(name = "backpressure.flood.itself")]
async fn floods_itself(
    event: &Flood,
    bus: EventBus,
    State(log): State<Log>,
) -> Result<(), PublishError> {
    log.add("flood");
    for _ in 0..event.left {
        bus.publish(Flood { left: 0 }).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_subscriber_that_floods_its_own_full_queue_does_not_deadlock() {
    let (builder, log) = manager_of("backpressure");
    let builder = builder.subscribers("backpressure.flood.*").bus("default", small());
    let bus = builder.start().await.unwrap().default_bus();
    bus.publish(Flood { left: 10 * CAPACITY }).await.unwrap();
    in_time(bus.settled()).await;
    assert_eq!(log.entries().len(), 1 + 10 * CAPACITY);
}
