//! Events reach those who listen to them.

use std::time::Duration;

use super::{
    ledger::Ledger,
    process::{Numbered, ORDER_CREATED, Process, event, order},
    subject::Unsupported,
    subscriber::{ack, numbered},
    trial::{Need, Trial},
    wait::{DEADLINE, until},
};
use crate::{
    backend::{Origin, Outgoing},
    envelope::{EventName, Topic},
};

const PUBLISHERS: u32 = 4;
const SUBSCRIBERS: u32 = 5;
/// How many events each publisher sends where many are wanted.
const EVENTS: u32 = 250;

const ORDER_PAID: EventName = EventName::from_static("order.paid");
const ORDER: EventName = EventName::from_static("order");

pub(super) async fn an_event_reaches_its_subscriber_once(trial: &Trial) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let id = publishing.publish(1).await;
    let delivery = subscriber.next().await;
    assert_eq!((delivery.metadata().id(), delivery.attempt()), (id, 1));
    ack(delivery).await;
    publishing.publish(2).await;
    subscriber.expect(2).await;
    Ok(())
}

pub(super) async fn a_new_subscriber_gets_what_is_published_from_now_on(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    publishing.publish(1).await;
    let mut subscriber = subscribing.subscribe("mail").await;
    publishing.publish(2).await;
    subscriber.expect(2).await;
    Ok(())
}

pub(super) async fn an_event_published_next_after_subscribing_is_not_missed(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    for round in 0..20 {
        let mut subscriber = subscribing.subscribe(&format!("round-{round}")).await;
        publishing.publish(round).await;
        subscriber.expect(round).await;
    }
    Ok(())
}

pub(super) async fn an_event_reaches_only_those_who_listen_to_its_name(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let names = [ORDER_CREATED, ORDER_PAID, ORDER];
    let mut subscribers = Vec::new();
    for name in &names {
        let topic = Topic::Event(name.clone());
        subscribers.push(subscribing.subscribe_to(name.as_str(), topic).await);
    }
    for number in 0..10 {
        for name in &names {
            publishing.publish_event(event(name, Numbered { publisher: 0, number })).await;
        }
    }
    for (subscriber, name) in subscribers.iter_mut().zip(&names) {
        for number in 0..10 {
            let delivery = subscriber.next().await;
            let received = (delivery.metadata().name(), numbered(&delivery).number);
            assert_eq!(received, (name, number));
            ack(delivery).await;
        }
    }
    Ok(())
}

pub(super) async fn every_event_of_many_publishers_reaches_every_subscriber_once(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let subscribing = trial.process("shop").await;
    let names: Vec<_> = (0..SUBSCRIBERS).map(|number| format!("subscriber-{number}")).collect();
    let ledger = Ledger::of(&names);
    let mut workers = Vec::new();
    for name in &names {
        workers.push(subscribing.subscribe(name).await.handle_into(&ledger));
    }
    let mut publishers = Vec::new();
    for publisher in 0..PUBLISHERS {
        let process = another(trial, &subscribing).await;
        let ledger = ledger.clone();
        publishers.push(tokio::spawn(async move {
            for number in 0..EVENTS {
                let order = event(&ORDER_CREATED, Numbered { publisher, number });
                process.publish_into(&ledger, order).await.expect("nothing is in its way");
            }
        }));
    }
    for publisher in publishers {
        publisher.await.expect("publishing works");
    }
    ledger.complete_within(DEADLINE).await;
    // What came twice would come before the next event.
    let last = Numbered { publisher: PUBLISHERS, number: u32::MAX };
    subscribing.publish_into(&ledger, event(&ORDER_CREATED, last)).await.expect("one more");
    for worker in &workers {
        worker.seen.has(u32::MAX).await;
    }
    subscribing.settled().await;
    ledger.verify(0);
    Ok(())
}

/// One more process that publishes, where that makes a difference.
async fn another(trial: &Trial, process: &Process) -> Process {
    if trial.is_remote() { trial.process("till").await } else { process.clone() }
}

pub(super) async fn many_events_published_at_once_are_answered_one_by_one(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let worker = subscribing.subscribe("mail").await.handle_all();
    let outgoing =
        |number| Outgoing { envelope: order(number), origin: Origin::Application, delay: None };
    let results = publishing.backend.publish_all(&mut (0..EVENTS).map(outgoing)).await;
    assert_eq!(results.len(), EVENTS as usize);
    assert!(results.iter().all(Result::is_ok));
    worker.seen.reach(EVENTS as usize).await;
    assert!(publishing.backend.publish_all(&mut std::iter::empty()).await.is_empty());

    publishing.close().await;
    let results = publishing.backend.publish_all(&mut (0..EVENTS).map(outgoing)).await;
    let refused = results.first().expect("the first event is answered").as_ref();
    assert!(refused.is_err_and(crate::BackendError::is_closed));
    assert!(results.len() < EVENTS as usize, "a failure ends it");
    Ok(())
}

pub(super) async fn a_subscriber_that_is_stuck_holds_back_no_other(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut stuck = subscribing.subscribe("stuck").await;
    let worker = subscribing.subscribe("works").await.handle_all();
    for number in 0..EVENTS {
        publishing.publish(number).await;
    }
    let _held = stuck.next().await;
    worker.seen.reach(EVENTS as usize).await;
    Ok(())
}

pub(super) async fn as_many_deliveries_are_open_as_are_handled_at_a_time(
    trial: &Trial,
) -> Result<(), Unsupported> {
    const CONCURRENCY: usize = 50;
    let (publishing, subscribing) = trial.two_processes().await;
    let mut spec = subscribing.spec("mail", Topic::Event(ORDER_CREATED));
    spec.concurrency = CONCURRENCY;
    let mut subscriber = subscribing.subscribe_as(spec).await;
    for number in 0..50 {
        publishing.publish(number).await;
    }
    let mut open = Vec::new();
    while open.len() < CONCURRENCY {
        open.push(subscriber.next().await);
    }
    let mut numbers: Vec<_> = open.iter().map(|delivery| numbered(delivery).number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..50), "each event once");
    // In an order of their own, as handlers end.
    for delivery in open.into_iter().rev() {
        ack(delivery).await;
    }
    publishing.publish(50).await;
    subscriber.expect(50).await;
    Ok(())
}

pub(super) async fn what_is_published_while_nobody_runs_waits_for_the_subscriber(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::AtLeastOnce)?;
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    publishing.publish(0).await;
    subscriber.expect(0).await;
    drop(subscriber);
    subscribing.close().await;
    for number in 1..=100 {
        publishing.publish(number).await;
    }
    let mut subscriber = trial.process("shop").await.subscribe("mail").await;
    for number in 1..=100 {
        subscriber.expect(number).await;
    }
    Ok(())
}

pub(super) async fn what_is_not_settled_is_in_flight(trial: &Trial) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let in_flight = subscribing.backend.in_flight();
    let mut subscriber = subscribing.subscribe("mail").await;
    assert_eq!(in_flight.count(), 0);
    publishing.publish(1).await;
    let delivery = subscriber.next().await;
    assert_eq!(in_flight.count(), 1);
    let idle = tokio::time::timeout(Duration::from_millis(20), in_flight.settled()).await;
    assert!(idle.is_err(), "a bus is not idle while an event is handled");
    ack(delivery).await;
    subscribing.settled().await;
    assert_eq!(in_flight.count(), 0);
    Ok(())
}

pub(super) async fn health_lists_the_subscriptions(trial: &Trial) -> Result<(), Unsupported> {
    let process = trial.process("shop").await;
    let backend = &process.backend;
    assert!(backend.health().is_up);
    assert!(backend.health().subscriptions.is_empty());
    let mail = process.subscribe("mail").await;
    let _stock = process.subscribe("stock").await;
    let live = || {
        let subscriptions = backend.health().subscriptions;
        let live = subscriptions.iter().filter(|it| it.is_live).map(|it| &*it.subscriber);
        let mut names: Vec<_> = live.map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(live(), ["mail", "stock"]);
    drop(mail);
    until("who has left is not listed", DEADLINE, || live() == ["stock"]).await;
    process.close().await;
    assert!(!backend.health().is_up);
    Ok(())
}
