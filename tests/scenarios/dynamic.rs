//! Subscriptions made at run time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use aury_events::{Retry, SubscribeError, Subscription, prelude::*};
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

async fn failing(
    event: Arc<Ticked>,
    State(log): State<Log>,
    context: Context,
    (bus, missing): (EventBus, Option<State<u128>>),
) -> Result<(), &'static str> {
    let (attempt, subscriber) = (context.attempt(), context.subscriber());
    log.add(format!("{} {attempt} {subscriber} {} {}", event.0, bus.name(), missing.is_none()));
    Err("not today")
}

#[tokio::test(start_paused = true)]
async fn a_subscription_has_the_options_and_parameters_that_a_subscriber_has() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    let retry = Retry::attempts(3).delay(Duration::from_secs(60));
    let subscribe = bus.subscribe(failing).name("mail").retry(retry);
    bus.publish(Ticked(1)).await.unwrap();
    let subscription = tokio::spawn(subscribe).await.unwrap().unwrap();
    bus.publish(Ticked(2)).await.unwrap();
    bus.settled().await;
    assert_eq!(
        log.entries(),
        ["2 1 mail default true", "2 2 mail default true", "2 3 mail default true"],
        "nothing is subscribed before it is polled"
    );
    let letters = bus.dead_letters().of("mail").list().await.unwrap();
    assert_eq!((letters.len(), &*letters[0].reason), (1, "the handler failed: not today"));
    subscription.unsubscribe().await;

    let never = bus.subscribe(async |_: Arc<Ticked>| std::future::pending::<()>().await);
    never.name("slow").timeout(Duration::from_secs(5)).await.unwrap();
    bus.publish(Ticked(3)).await.unwrap();
    bus.settled().await;
    let letters = bus.dead_letters().of("slow").list().await.unwrap();
    assert_eq!(letters[0].reason, "the handler did not end within 5s");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_handles_as_many_events_at_a_time_as_it_says() {
    let (builder, _) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    let (busy, busiest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let subscribe = bus.subscribe({
        let busiest = Arc::clone(&busiest);
        move |_: Arc<Ticked>| {
            let (busy, busiest) = (Arc::clone(&busy), Arc::clone(&busiest));
            async move {
                busiest.fetch_max(busy.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                busy.fetch_sub(1, SeqCst);
            }
        }
    });
    subscribe.concurrency(4).await.unwrap();
    for tick in 0..12 {
        bus.publish(Ticked(tick)).await.unwrap();
    }
    bus.settled().await;
    assert_eq!(busiest.load(SeqCst), 4);
}

#[tokio::test]
async fn what_cannot_be_subscribed_is_refused_with_the_reason() {
    let (builder, _) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    let named = |name: &str| bus.subscribe(async |_: Arc<Ticked>| {}).name(name);
    let refused = async |name: &str| named(name).await.unwrap_err().to_string();

    for name in ["", "two words", "dynamic::mail", "a/b", &"x".repeat(201)] {
        let error = named(name).await.unwrap_err();
        assert!(matches!(error, SubscribeError::InvalidName { .. }), "{name}: {error}");
    }
    let linked = "scenarios::conditions::by_closure";
    let error = refused(linked).await;
    let taken = format!("the name `{linked}` is taken by the subscriber `{linked}` (");
    assert!(error.starts_with(&taken), "{error}");
    let first = named("mail").await.unwrap();
    assert_eq!(
        refused("mail").await,
        "the name `mail` is taken by another subscription, which has not ended: unsubscribe that one first"
    );
    first.unsubscribe().await;
    named("mail").await.unwrap();

    let error = bus.subscribe(async |_: Arc<Ticked>, _: State<u128>| {}).name("big").await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "`big` takes a `State<u128>`, but no such value was given: add `.state(..)` to the builder of the manager"
    );
    let error = bus
        .subscribe(async |_: Arc<Ticked>, _: Receipt| {})
        .name("own")
        .retry(Retry::attempts(2))
        .await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "`own` takes a `Receipt`, by which it settles its events itself, and has `retry` as well"
    );
    named("big").await.expect("a name that was refused is free");
}
