//! Ending in order.

use std::time::Duration;

use aury_events::{PublishError, prelude::*};
use serde::{Deserialize, Serialize};

use crate::support::{Log, in_time, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "shutdown.first")]
struct First(u32);

#[derive(Serialize, Deserialize, Event)]
#[event(name = "shutdown.second", bus = "shutdown_other")]
struct Second(u32);

#[subscribe(name = "shutdown.drain.first")]
async fn first(event: &First, State(log): State<Log>) -> Result<(), PublishError> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    log.add("first");
    aury_events::publish(Second(event.0)).await.map(drop)
}

#[subscribe(name = "shutdown.drain.second")]
async fn second(_: &Second, State(log): State<Log>) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    log.add("second");
}

#[tokio::test]
async fn shutdown_handles_all_that_was_accepted_chains_over_two_buses_included() {
    let (builder, log) = manager_of("shutdown");
    let builder = builder.bus("shutdown_other", BusConfig::memory());
    let events = builder.subscribers("shutdown.drain.*").start().await.unwrap();
    let bus = events.default_bus();
    for number in 0..100 {
        bus.publish(First(number)).await.unwrap();
    }
    in_time(events.shutdown()).await.unwrap();
    assert_eq!(log.entries().iter().filter(|it| *it == "first").count(), 100);
    assert_eq!(log.entries().iter().filter(|it| *it == "second").count(), 100);

    let refused = bus.publish(First(100)).await.unwrap_err();
    assert!(refused.is_closed(), "{refused}");
    let refused = bus.subscribe(|_: std::sync::Arc<First>| async {}).await.unwrap_err();
    assert!(refused.to_string().contains("could not subscribe"), "{refused}");
    events.shutdown().await.expect("a second call changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_publish_that_was_ok_is_handled_when_shutdown_comes_in_between() {
    for _ in 0..20 {
        let (builder, log) = manager_of("shutdown");
        let builder = builder.bus("shutdown_other", BusConfig::memory());
        let builder = builder.bus("default", BusConfig::memory().queue_capacity(4));
        let events = builder.subscribers("shutdown.drain.*").start().await.unwrap();
        let publishers: Vec<_> = (0..4)
            .map(|_| {
                let bus = events.default_bus();
                tokio::spawn(async move {
                    let mut accepted = 0;
                    while bus.publish(First(accepted)).await.is_ok() {
                        accepted += 1;
                    }
                    accepted as usize
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(5)).await;
        in_time(events.shutdown()).await.unwrap();
        let mut accepted = 0;
        for publisher in publishers {
            accepted += in_time(publisher).await.unwrap();
        }
        let handled = log.entries().iter().filter(|it| *it == "second").count();
        assert_eq!(handled, accepted);
    }
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "shutdown.endless")]
struct Endless;

#[subscribe(name = "shutdown.limit.hangs")]
async fn hangs(_: &Endless) {
    std::future::pending().await
}

#[tokio::test]
async fn past_its_limit_shutdown_says_what_was_left() {
    let (builder, _) = manager_of("shutdown");
    let config = BusConfig::memory().shutdown_timeout(Duration::from_millis(50));
    let builder = builder.subscribers("shutdown.limit.*").bus("default", config);
    let events = builder.start().await.unwrap();
    for _ in 0..3 {
        events.default_bus().publish(Endless).await.unwrap();
    }
    let error = in_time(events.shutdown()).await.unwrap_err();
    assert_eq!(error.left(), [("shutdown.limit.hangs".to_owned(), 3)]);
    assert_eq!(
        error.to_string(),
        "not everything was handled within 50ms; left over: 3 for `shutdown.limit.hangs`;"
    );
}
