//! Subscriptions made at run time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use aury_events::{Subscription, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};

use crate::support::{Log, in_time, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "dynamic.ticked")]
struct Ticked(usize);

#[tokio::test]
async fn a_closure_hears_events_until_it_is_unsubscribed() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    let subscription = bus
        .subscribe({
            let log = log.clone();
            move |event: Arc<Ticked>, context: Context| {
                log.add(format!("{} {}", event.0, context.subscriber()));
                async {}
            }
        })
        .await
        .unwrap();
    assert_eq!(subscription.id(), "dynamic::dynamic.ticked::1");
    bus.publish(Ticked(1)).await.unwrap();
    subscription.unsubscribe().await;
    bus.publish(Ticked(2)).await.unwrap();
    in_time(bus.settled()).await;
    assert_eq!(log.entries(), ["1 dynamic::dynamic.ticked::1"]);
    assert!(bus.health().subscriptions.is_empty());
}

#[tokio::test]
async fn a_pattern_can_be_subscribed_at_run_time() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    let hears = log.clone();
    bus.subscribe_pattern("dynamic.#", move |event: AnyEvent| {
        hears.add(event.name().to_string());
        async {}
    })
    .await
    .unwrap();
    bus.publish(Ticked(1)).await.unwrap();
    in_time(bus.settled()).await;
    assert_eq!(log.entries(), ["dynamic.ticked"]);

    let refused = bus.subscribe_pattern("dynamic*", |_: AnyEvent| async {}).await.unwrap_err();
    assert_eq!(refused.to_string(), "`dynamic*` is not a pattern over event names");
}

#[tokio::test]
async fn a_subscription_can_end_itself() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    let own: Arc<Mutex<Option<Subscription>>> = Arc::default();
    let subscription = bus
        .subscribe({
            let (own, log) = (Arc::clone(&own), log.clone());
            move |event: Arc<Ticked>| {
                let (own, log) = (Arc::clone(&own), log.clone());
                async move {
                    log.add(event.0.to_string());
                    if let Some(subscription) = own.lock().await.take() {
                        subscription.unsubscribe().await;
                    }
                }
            }
        })
        .await
        .unwrap();
    *own.lock().await = Some(subscription);
    for number in 0..3 {
        in_time(bus.publish(Ticked(number))).await.unwrap();
        in_time(bus.settled()).await;
    }
    assert_eq!(log.entries(), ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscribing_and_unsubscribing_while_publishing_is_safe() {
    let (builder, _) = manager_of(module_path!());
    let builder = builder.bus("default", BusConfig::memory().queue_capacity(16));
    let events = builder.start().await.unwrap();
    let bus = events.default_bus();

    let steady = Arc::new(AtomicUsize::new(0));
    bus.subscribe({
        let steady = Arc::clone(&steady);
        move |_: Arc<Ticked>| {
            steady.fetch_add(1, SeqCst);
            async {}
        }
    })
    .await
    .unwrap();

    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let bus = bus.clone();
            tokio::spawn(async move {
                for number in 0..2_000 {
                    bus.publish(Ticked(number)).await.unwrap();
                }
            })
        })
        .collect();
    let changing: Vec<_> = (0..4)
        .map(|_| {
            let bus = bus.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    let (sender, mut receiver) = mpsc::channel(1);
                    let subscription = bus
                        .subscribe(move |_: Arc<Ticked>| {
                            let sender = sender.clone();
                            async move { sender.send(()).await.unwrap_or_default() }
                        })
                        .await
                        .unwrap();
                    tokio::task::yield_now().await;
                    receiver.close();
                    subscription.unsubscribe().await;
                }
            })
        })
        .collect();
    in_time(async {
        for task in publishers.into_iter().chain(changing) {
            task.await.unwrap();
        }
        bus.settled().await;
    })
    .await;
    assert_eq!(steady.load(SeqCst), 8_000);
    assert_eq!(bus.health().subscriptions.len(), 1);
    in_time(events.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_failing_closure_leaves_a_dead_letter() {
    let (builder, _): (_, Log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    bus.subscribe(|_: Arc<Ticked>| async { Err::<(), _>("refused") }).await.unwrap();
    bus.publish(Ticked(1)).await.unwrap();
    in_time(bus.settled()).await;
    let letters = bus.dead_letters().list().await.unwrap();
    assert_eq!(letters[0].reason, "the handler failed: refused");
}
