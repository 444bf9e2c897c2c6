//! Events that are published with a delay.

use std::{sync::Arc, time::Duration};

use aury_events::{EventBus, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::support::{Log, in_time, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "delays.reminder")]
struct Reminder {
    number: u32,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "delays.ordered")]
struct Ordered;

#[derive(Clone, Copy)]
struct Start(Instant);

#[subscribe(name = "delays.remind")]
async fn remind(event: &Reminder, context: Context, State(log): State<Log>, start: State<Start>) {
    let (after, attempt) = (start.0.0.elapsed().as_secs(), context.attempt());
    log.add(format!("{} after {after} s, attempt {attempt}", event.number));
}

#[subscribe(name = "delays.plan")]
async fn plan(_: &Ordered, bus: EventBus, State(log): State<Log>) {
    let reminder = bus.publish(Reminder { number: 1 }).delay(Duration::from_secs(5));
    log.add(format!("planned {}", reminder.await.is_ok()));
}

async fn started(shutdown: Duration) -> (EventBusManager, Log) {
    let (builder, log) = manager_of("delays");
    let builder = builder.subscribers("delays.*").state(Start(Instant::now()));
    let config = BusConfig::memory().shutdown_timeout(shutdown);
    (builder.bus("default", config).start().await.unwrap(), log)
}

const HALF_A_MINUTE: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_delayed_event_comes_at_its_time_and_holds_up_no_other() {
    let (manager, log) = started(HALF_A_MINUTE).await;
    let bus = manager.default_bus();
    for (number, seconds) in [(0, 60), (1, 20), (2, 40), (3, 20)] {
        let delay = Duration::from_secs(seconds);
        bus.publish(Reminder { number }).delay(delay).await.unwrap();
    }
    bus.publish(Reminder { number: 4 }).delay(Duration::ZERO).await.unwrap();
    assert_eq!(bus.health().delayed, 4);
    sleep(Duration::from_millis(19_999)).await;
    assert_eq!(log.entries(), ["4 after 0 s, attempt 1"]);
    bus.settled().await;
    assert_eq!(
        log.entries()[1..],
        [
            "1 after 20 s, attempt 1",
            "3 after 20 s, attempt 1",
            "2 after 40 s, attempt 1",
            "0 after 60 s, attempt 1",
        ]
    );
    assert_eq!(bus.health().delayed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_event_goes_to_those_who_listen_when_its_time_has_come() {
    let (manager, log) = started(HALF_A_MINUTE).await;
    let bus = manager.default_bus();
    let listen = |name: &'static str| {
        let log = log.clone();
        move |_: Arc<Reminder>| {
            log.add(name);
            async {}
        }
    };
    let leaves = bus.subscribe(listen("leaves")).await.unwrap();
    let delay = Duration::from_secs(10);
    bus.publish(Reminder { number: 0 }).delay(delay).await.unwrap();
    leaves.unsubscribe().await;
    bus.subscribe(listen("comes later")).await.unwrap();
    bus.settled().await;
    assert_eq!(log.sorted(), ["0 after 10 s, attempt 1", "comes later"]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_what_is_delayed_and_for_what_a_subscriber_delays_meanwhile() {
    let (manager, log) = started(HALF_A_MINUTE).await;
    manager.default_bus().publish(Ordered).delay(Duration::from_secs(8)).await.unwrap();
    in_time(manager.shutdown()).await.unwrap();
    assert_eq!(log.entries(), ["planned true", "1 after 13 s, attempt 1"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_delayed_past_the_end_of_a_shutdown_is_reported() {
    let (manager, log) = started(Duration::from_secs(2)).await;
    let bus = manager.default_bus();
    for number in 0..3 {
        let delay = Duration::from_secs(3600);
        bus.publish(Reminder { number }).delay(delay).await.unwrap();
    }
    let error = manager.shutdown().await.unwrap_err();
    assert_eq!((error.delayed(), error.left()), (3, &[][..]));
    let text = "3 events are lost, whose delay had not passed within 2s;";
    assert_eq!(error.to_string().trim(), text);
    sleep(Duration::from_secs(7200)).await;
    assert!(log.entries().is_empty());
    let late = bus.publish(Reminder { number: 3 }).delay(Duration::from_secs(1)).await;
    assert!(late.unwrap_err().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_delay_longer_than_any_clock_is_no_panic() {
    let (manager, _) = started(Duration::from_secs(1)).await;
    let bus = manager.default_bus();
    bus.publish(Reminder { number: 0 }).delay(Duration::MAX).await.unwrap();
    assert_eq!(bus.health().delayed, 1);
}
