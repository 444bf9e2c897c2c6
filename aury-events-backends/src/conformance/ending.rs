//! Subscriptions and buses that end.

use std::time::Duration;

use super::{
    process::{Numbered, ORDER_CREATED, order},
    subject::Unsupported,
    subscriber::{ack, numbered},
    trial::Trial,
    wait::{DEADLINE, in_time, until},
};
use crate::{backend::Origin, envelope::Topic, error::BackendError};

const EVENTS: u32 = 100;

pub(super) async fn a_cancelled_subscription_hands_out_what_it_took_and_ends(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    for number in 0..EVENTS {
        publishing.publish(number).await;
    }
    subscriber.expect(0).await;
    subscriber.cancel();
    subscriber.cancel();
    let taken = subscribing.backend.in_flight().count() as usize;
    let rest = subscriber.rest().await;
    // The first one is settled, and may still count while its acknowledgement is on its way.
    assert!(rest.len() + 1 >= taken, "{taken} were taken, {} handed out", rest.len());
    assert_follow_each_other(1, &rest);
    assert!(in_time("it stays at its end", subscriber.next_or_end()).await.is_none());
    subscribing.settled().await;
    drop(subscriber);

    if trial.is_at_least_once() {
        // What it had not taken is there for the next one: what was on its way to it comes when it is taken over.
        let mut next = trial.process("shop").await.subscribe("mail").await;
        let expected: Vec<_> = (1 + rest.len() as u32..EVENTS).collect();
        let mut left = Vec::new();
        while left.len() < expected.len() {
            let delivery = next.next().await;
            left.push(numbered(&delivery).number);
            ack(delivery).await;
        }
        left.sort_unstable();
        assert_eq!(left, expected);
    }
    Ok(())
}

fn assert_follow_each_other(first: u32, events: &[Numbered]) {
    let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
    let expected = (first..).take(numbers.len());
    assert!(numbers.iter().copied().eq(expected), "{numbers:?}");
}

pub(super) async fn another_subscriber_goes_on_when_one_is_cancelled(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let leaving = subscribing.subscribe("leaving").await.handle_all();
    let staying = subscribing.subscribe("staying").await.handle_all();
    publishing.publish(0).await;
    leaving.seen.has(0).await;
    leaving.stop().await;
    for number in 1..EVENTS {
        publishing.publish(number).await;
    }
    staying.seen.reach(EVENTS as usize).await;
    Ok(())
}

pub(super) async fn closing_hands_out_what_was_taken_and_ends_every_subscription(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscribers =
        [subscribing.subscribe("mail").await, subscribing.subscribe("stock").await];
    for number in 0..EVENTS {
        publishing.publish(number).await;
    }
    for subscriber in &mut subscribers {
        subscriber.expect(0).await;
    }
    let taken = subscribing.backend.in_flight().count() as usize;
    let [mail, stock] = &mut subscribers;
    let ((), mail, stock) = tokio::join!(subscribing.close(), mail.rest(), stock.rest());
    // The first one of each is settled, and may still count while its acknowledgement is on its way.
    assert!(mail.len() + stock.len() + 2 >= taken, "{taken} were taken: {mail:?}, {stock:?}");
    assert_follow_each_other(1, &mail);
    assert_follow_each_other(1, &stock);
    subscribing.settled().await;
    Ok(())
}

pub(super) async fn closing_again_changes_nothing(trial: &Trial) -> Result<(), Unsupported> {
    let process = trial.process("shop").await;
    let mut subscriber = process.subscribe("mail").await;
    process.close().await;
    process.close().await;
    assert!(in_time("the end", subscriber.next_or_end()).await.is_none());
    drop(subscriber);
    process.close().await;
    assert_eq!(process.backend.in_flight().count(), 0);
    Ok(())
}

pub(super) async fn a_closed_bus_refuses_events_and_subscribers(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let process = trial.process("shop").await;
    process.publish(0).await;
    process.close().await;
    for origin in [Origin::Application, Origin::Handler] {
        let published = in_time("an answer", process.publish_from(origin, order(1))).await;
        assert!(published.is_err_and(|error| error.is_closed()), "{origin:?}");
    }
    let spec = process.spec("mail", Topic::Event(ORDER_CREATED));
    let subscribed = in_time("an answer", process.backend.subscribe(spec)).await;
    assert!(subscribed.is_err_and(|error| error.is_closed()));
    Ok(())
}

pub(super) async fn a_draining_bus_takes_only_what_handlers_publish(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let idle = trial.process("shop").await;
    idle.backend.drain();
    idle.backend.drain();
    // Where a handler runs, it could be one that waits for the task which publishes.
    let refused = idle.try_publish(order(2)).await;
    assert!(refused.as_ref().is_err_and(BackendError::is_closed), "{refused:?}");

    let process = trial.process("shop").await;
    let mut subscriber = process.subscribe("mail").await;
    process.publish(1).await;
    let delivery = subscriber.next().await;
    process.backend.drain();
    let taken = process.publish_from(Origin::Handler, order(3)).await;
    taken.unwrap_or_else(|error| panic!("a handler publishes while the bus drains: {error:?}"));
    ack(delivery).await;
    if !trial.is_remote() {
        subscriber.expect(3).await;
        process.settled().await;
        process.close().await;
        return Ok(());
    }
    // The server has it. Who takes it in, this process or another one, is open.
    let ((), taken) = tokio::join!(process.close(), subscriber.rest());
    drop(subscriber);
    if trial.is_at_least_once() && taken.is_empty() {
        trial.process("shop").await.subscribe("mail").await.expect(3).await;
    }
    Ok(())
}

pub(super) async fn a_delivery_outlives_its_subscription(trial: &Trial) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    for number in 0..3 {
        publishing.publish(number).await;
    }
    let settled_late = subscriber.next().await;
    let dropped_late = subscriber.next().await;
    assert_eq!((numbered(&settled_late).number, numbered(&dropped_late).number), (0, 1));
    drop(subscriber);
    // Whether it still counts is open; that it is answered is not.
    let _ = in_time("an answer", settled_late.settle(crate::Settlement::Ack)).await;
    drop(dropped_late);
    let in_flight = subscribing.backend.in_flight();
    until("nothing is in flight", DEADLINE, || in_flight.count() == 0).await;
    subscribing.settled().await;
    subscribing.close().await;
    Ok(())
}

pub(super) async fn a_subscriber_that_leaves_and_comes_back_gets_events(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    for number in 0..5 {
        let mut subscriber = subscribing.subscribe("mail").await;
        publishing.publish(number).await;
        subscriber.expect(number).await;
        subscriber.cancel();
        assert!(subscriber.rest().await.is_empty());
        subscribing.settled().await;
    }
    let live = || subscribing.backend.health().subscriptions.len();
    until("who has left is not listed", Duration::from_secs(5), || live() == 0).await;
    Ok(())
}
