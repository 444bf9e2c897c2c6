//! Tasks that handlers spawn, on memory: see `tests/spawned`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    spawned,
    support::{in_time, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_waits_for_its_task_is_not_refused_while_the_bus_drains() {
    let row = spawned::a_handler_that_waits_for_its_task_is_not_refused_while_the_bus_drains;
    row(BusConfig::memory(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_for_what_a_context_has_spawned() {
    spawned::a_shutdown_waits_for_what_a_context_has_spawned(BusConfig::memory(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_end_is_left_over() {
    spawned::a_task_that_does_not_end_is_left_over(BusConfig::memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_branches_of_a_handler_publish_belongs_to_the_chain() {
    spawned::what_branches_of_a_handler_publish_belongs_to_the_chain(BusConfig::memory()).await;
}

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "spawning.round")]
struct Round(u32);

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_waits_for_its_own_full_queue_is_told_instead_of_waiting_for_ever() {
    let config = BusConfig::memory().queue_capacity(1).publish_timeout(Duration::from_millis(200));
    let builder = EventBusManager::builder().subscribers("none").bus("default", config);
    let events = builder.start().await.unwrap();
    let bus = events.default_bus();
    let (results, mut result) = mpsc::unbounded_channel();
    let publishes = bus.clone();
    let subscribed = bus.subscribe(move |round: Arc<Round>| {
        let (bus, results) = (publishes.clone(), results.clone());
        async move {
            if round.0 > 0 {
                return;
            }
            for number in 1..=3 {
                let bus = bus.clone();
                let published = tokio::spawn(async move { bus.publish(Round(number)).await });
                results.send(published.await.unwrap()).unwrap();
            }
        }
    });
    in_time(subscribed).await.unwrap();
    bus.publish(Round(0)).await.unwrap();
    in_time(result.recv()).await.unwrap().expect("there is one place");
    let refused = in_time(result.recv()).await.unwrap().expect_err("the queue is full");
    let text = aury_events_backends::error::WithCauses(&refused).to_string();
    assert!(
        text.contains("the queue of the subscriber `dynamic::spawning.round::1` is full"),
        "{text}"
    );
    in_time(events.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_tasks_without_an_owner_is_left_over_and_does_not_prolong_a_shutdown() {
    let builder = EventBusManager::builder().subscribers("none");
    let events = builder.bus("default", BusConfig::memory()).start().await.unwrap();
    let bus = events.default_bus();
    let gate = Arc::new(Semaphore::new(0));
    let calls = Arc::<[AtomicU32; 3]>::default();
    let (publishes, passes, counts) = (bus.clone(), Arc::clone(&gate), Arc::clone(&calls));
    let subscribed = bus.subscribe(move |round: Arc<Round>| {
        let (bus, gate, calls) = (publishes.clone(), Arc::clone(&passes), Arc::clone(&counts));
        async move {
            calls[round.0 as usize].fetch_add(1, SeqCst);
            if round.0 == 0 {
                gate.acquire().await.unwrap().forget();
            }
            // No handler owns what this task publishes.
            let publish = async move { bus.publish(Round(round.0 + 1)).await };
            tokio::spawn(publish).await.unwrap()?;
            anyhow::Ok(())
        }
    });
    in_time(subscribed).await.unwrap();
    bus.publish(Round(0)).await.unwrap();
    in_time(until(|| calls[0].load(SeqCst) == 1)).await;
    let start = Instant::now();
    let shutdown = tokio::spawn(async move { events.shutdown().await });
    in_time(until(|| !bus.health().is_up)).await;
    gate.add_permits(1);
    let left = in_time(shutdown).await.unwrap().expect_err("the second round is left");
    assert_eq!(left.left(), [("dynamic::spawning.round::1".to_owned(), 1)]);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let calls = [0, 1, 2].map(|round| calls[round].load(SeqCst));
    assert_eq!(calls, [1, 1, 0], "a handler that is refused is not called over and over");
    assert_eq!(bus.dead_letters().list().await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_goes_on_publishing_does_not_prolong_a_shutdown() {
    let config = BusConfig::memory().queue_capacity(16).shutdown_timeout(Duration::from_secs(20));
    let builder = EventBusManager::builder().subscribers("none").bus("default", config);
    let events = builder.start().await.unwrap();
    let bus = events.default_bus();
    let subscribed = bus.subscribe(|_: Arc<Round>| tokio::time::sleep(Duration::from_millis(5)));
    in_time(subscribed).await.unwrap();
    bus.publish(Round(0)).await.unwrap();
    let publishes = bus.clone();
    let publisher = tokio::spawn(async move {
        let mut taken = 0;
        while publishes.publish(Round(1)).await.is_ok() {
            taken += 1;
        }
        taken
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    in_time(events.shutdown()).await.expect("what was taken is handled");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(in_time(publisher).await.unwrap() > 0);
}
