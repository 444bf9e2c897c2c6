//! What could not be handled is listed, replayed and purged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::SystemTime,
};

use aury_events::{DeadLetter, EventBus, prelude::*};
use serde::{Deserialize, Serialize};

use crate::support::{Log, in_time, manager_of};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "dead_letters.ordered")]
struct Ordered {
    number: u32,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "dead_letters.mailed")]
struct Mailed {
    number: u32,
}

/// Whether the mail server is up again.
#[derive(Clone, Default)]
struct Works(Arc<AtomicBool>);

#[subscribe(name = "dead_letters.mail", retry(attempts = 2, delay = "2s"))]
async fn mail(
    event: &Ordered,
    context: Context,
    State(log): State<Log>,
    works: State<Works>,
) -> Result<(), &'static str> {
    log.add(format!("mail {}, attempt {}", event.number, context.attempt()));
    if !works.0.0.load(SeqCst) {
        return Err("no mail server");
    }
    context.publish(Mailed { number: event.number }).await.map(drop).map_err(|_| "no bus")
}

#[subscribe(name = "dead_letters.audit")]
async fn audit(event: &Ordered, State(log): State<Log>) {
    log.add(format!("audit {}", event.number));
}

#[subscribe(name = "dead_letters.trace")]
async fn trace(event: &Mailed, context: Context, State(log): State<Log>) {
    let metadata = context.metadata();
    let cause = metadata.causation_id().map(|id| id.to_string());
    let correlation = metadata.correlation_id();
    log.add(format!("mailed {}, of {cause:?}, with {correlation}", event.number));
}

/// A bus on which the mail server is down, after that many orders.
async fn after_orders(subscribers: &str, orders: u32) -> (EventBus, Log, Works) {
    let works = Works::default();
    let (builder, log) = manager_of("dead_letters");
    let manager = builder.subscribers(subscribers).state(works.clone()).start().await.unwrap();
    let bus = manager.default_bus();
    for number in 0..orders {
        bus.publish(Ordered { number }).await.unwrap();
    }
    in_time(bus.settled()).await;
    (bus, log, works)
}

async fn letters(bus: &EventBus) -> Vec<DeadLetter> {
    bus.dead_letters().list().await.unwrap()
}

fn number(letter: &DeadLetter) -> u32 {
    letter.envelope.payload().decode::<Ordered>().unwrap().number
}

#[tokio::test(start_paused = true)]
async fn a_letter_says_what_failed_why_how_often_and_when() {
    let before = SystemTime::now();
    let (bus, ..) = after_orders("dead_letters.*", 1).await;
    let letters = letters(&bus).await;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((&*letter.subscriber, letter.attempts), ("dead_letters.mail", 2));
    assert_eq!(letter.reason, "the handler failed: no mail server");
    assert!(letter.time >= before && letter.time <= SystemTime::now());
    assert!(letter.envelope.metadata().time() <= letter.time);
    assert_eq!(number(letter), 0);
}

#[tokio::test(start_paused = true)]
async fn a_replayed_letter_goes_to_the_subscriber_that_failed_alone_and_counts_from_one() {
    let (bus, log, works) = after_orders("dead_letters.*", 1).await;
    assert_eq!(log.sorted(), ["audit 0", "mail 0, attempt 1", "mail 0, attempt 2"]);
    let before = log.entries().len();
    works.0.store(true, SeqCst);
    let letter = letters(&bus).await.remove(0);
    let metadata = letter.envelope.metadata().clone();
    assert!(letter.clone().replay().await.unwrap());
    in_time(bus.settled()).await;
    let cause = Some(metadata.id().to_string());
    assert_eq!(
        log.entries()[before..],
        [
            "mail 0, attempt 1".to_owned(),
            format!("mailed 0, of {cause:?}, with {}", metadata.correlation_id())
        ],
        "the chain goes on where it was"
    );
    assert!(letters(&bus).await.is_empty());
    assert!(!letter.replay().await.unwrap(), "it is there no more");
}

#[tokio::test(start_paused = true)]
async fn a_replayed_letter_that_fails_again_is_a_dead_letter_again_once() {
    let (bus, log, _) = after_orders("dead_letters.mail", 1).await;
    let first = letters(&bus).await.remove(0);
    assert!(first.clone().replay().await.unwrap());
    in_time(bus.settled()).await;
    assert_eq!(log.entries().len(), 4, "two attempts, and two more");
    let letters = letters(&bus).await;
    let [again] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(again.envelope.metadata().id(), first.envelope.metadata().id());
    assert_eq!(again.attempts, 2);
    assert!(!first.purge().await.unwrap(), "that is another one");
}

#[tokio::test(start_paused = true)]
async fn replaying_all_ends_though_all_fail_again_meanwhile() {
    let (bus, log, _) = after_orders("dead_letters.mail", 600).await;
    let before = log.entries().len();
    let mut letters = bus.dead_letters();
    let mut replayed = 0;
    while let Some(letter) = in_time(letters.next()).await.unwrap() {
        assert_eq!(number(&letter), replayed, "the oldest comes first");
        assert!(letter.replay().await.unwrap());
        replayed += 1;
        if replayed % 100 == 0 {
            in_time(bus.settled()).await;
        }
    }
    assert_eq!(replayed, 600);
    assert_eq!(in_time(bus.dead_letters().replay_all()).await.unwrap(), 600);
    in_time(bus.settled()).await;
    assert_eq!(log.entries().len() - before, 2 * 2 * 600);
    assert_eq!(self::letters(&bus).await.len(), 600);
}

#[tokio::test(start_paused = true)]
async fn purging_all_forgets_what_was_there_and_nothing_else() {
    let (bus, log, works) = after_orders("dead_letters.mail", 3).await;
    let letter = letters(&bus).await.remove(1);
    assert!(letter.clone().purge().await.unwrap());
    assert!(!letter.clone().purge().await.unwrap());
    assert!(!letter.replay().await.unwrap());
    let numbers: Vec<_> = letters(&bus).await.iter().map(number).collect();
    assert_eq!(numbers, [0, 2]);

    let purged = bus.dead_letters().of("dead_letters.audit").purge_all().await.unwrap();
    assert_eq!(purged, 0, "they are another subscriber's");
    assert_eq!(bus.dead_letters().of("dead_letters.mail").purge_all().await.unwrap(), 2);
    assert!(letters(&bus).await.is_empty());

    let before = log.entries().len();
    works.0.store(true, SeqCst);
    assert_eq!(bus.dead_letters().replay_all().await.unwrap(), 0);
    in_time(bus.settled()).await;
    assert_eq!(log.entries().len(), before);
}

#[tokio::test]
async fn the_latest_1024_are_kept_and_those_pushed_out_are_counted() {
    let (bus, ..) = after_orders("none", 0).await;
    bus.subscribe(|_: Arc<Ordered>| async { Err::<(), _>("never") }).await.unwrap();
    assert_eq!(bus.health().dropped_dead_letters, 0);
    for number in 0..1030 {
        bus.publish(Ordered { number }).await.unwrap();
    }
    in_time(bus.settled()).await;
    let kept = letters(&bus).await;
    assert_eq!((kept.len(), number(&kept[0]), number(&kept[1023])), (1024, 6, 1029));
    assert_eq!(bus.health().dropped_dead_letters, 6);
}

#[tokio::test]
async fn a_letter_stays_where_its_subscriber_has_left_and_the_others_are_replayed() {
    let (bus, ..) = after_orders("none", 0).await;
    let log = Log::default();
    let fails = |name: &'static str| {
        let log = log.clone();
        move |_: Arc<Ordered>| {
            log.add(name);
            async { Err::<(), _>("never") }
        }
    };
    let leaves = bus.subscribe(fails("leaves")).await.unwrap();
    bus.subscribe(fails("stays")).await.unwrap();
    bus.publish(Ordered { number: 0 }).await.unwrap();
    in_time(bus.settled()).await;
    let id = leaves.id().to_owned();
    in_time(leaves.unsubscribe()).await;

    let letter = bus.dead_letters().of(&*id).next().await.unwrap().unwrap();
    let error = letter.replay().await.unwrap_err();
    assert!(error.is_not_subscribed());
    assert_eq!(
        error.to_string(),
        format!(
            "there is no subscription of `{id}` to replay to: the dead letter is kept; start the subscriber first"
        )
    );
    let error = bus.dead_letters().replay_all().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not replay 1 of 2 dead letters on the bus `default`: there is no subscription of \
         `dynamic::dead_letters.ordered::1` to replay to: the dead letter is kept; start the subscriber first"
    );
    in_time(bus.settled()).await;
    assert_eq!(log.entries().iter().filter(|it| **it == "leaves").count(), 1);
    assert_eq!(log.entries().iter().filter(|it| **it == "stays").count(), 2);
    assert_eq!(letters(&bus).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_replay_on_a_bus_that_was_shut_down_is_refused_and_the_letter_stays() {
    let (builder, _) = manager_of("dead_letters");
    let builder = builder.subscribers("dead_letters.mail").state(Works::default());
    let manager = builder.start().await.unwrap();
    let bus = manager.default_bus();
    bus.publish(Ordered { number: 0 }).await.unwrap();
    in_time(bus.settled()).await;
    let letter = letters(&bus).await.remove(0);
    manager.shutdown().await.unwrap();
    assert!(letter.replay().await.is_err());
    assert_eq!(letters(&bus).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_letter_is_found_by_the_id_of_its_event_and_shows_its_data() {
    let (bus, _, _) = after_orders("dead_letters.mail", 3).await;
    let second = letters(&bus).await.remove(1);
    let found = bus.dead_letters().find(second.event_id()).await.unwrap().expect("it is there");
    assert_eq!(found.event_id(), second.event_id());
    assert_eq!(found.event_name().as_str(), "dead_letters.ordered");
    assert_eq!(found.json().unwrap(), r#"{"number":1}"#);
    let of_another = bus.dead_letters().of("dead_letters.audit");
    assert!(of_another.find(second.event_id()).await.unwrap().is_none());
    assert!(found.purge().await.unwrap());
    assert!(bus.dead_letters().find(second.event_id()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn health_and_catalogue_are_data_for_tools() {
    let (builder, _) = manager_of("dead_letters");
    let builder = builder.subscribers("dead_letters.mail").state(Works::default());
    let events = builder.start().await.unwrap();
    let health = serde_json::to_value(events.default_bus().health()).unwrap();
    assert_eq!(health["is_up"], true);
    assert_eq!(health["problem"], serde_json::Value::Null);
    assert_eq!(health["subscriptions"][0]["subscriber"], "dead_letters.mail");
    assert_eq!(health["subscriptions"][0]["is_live"], true);
    let catalogue = serde_json::to_value(events.catalogue()).unwrap();
    let subscriber = &catalogue["subscribers"][0];
    assert_eq!(subscriber["topic"], "dead_letters.ordered");
    assert!(subscriber["location"].as_str().unwrap().contains("dead_letters.rs:"), "{subscriber}");
    events.shutdown().await.unwrap();
}
