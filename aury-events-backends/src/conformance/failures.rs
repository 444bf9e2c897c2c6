//! Events that could not be handled: again, later, or never.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    ledger::Ledger,
    process::Process,
    sharing::publish,
    subject::Unsupported,
    subscriber::{Verdict, ack, dead_letter, numbered, retry},
    trial::{Need, Trial},
    wait::{DEADLINE, in_time},
};
use crate::{dead_letters::DeadLetter, error::BackendError};

const EVENTS: u32 = 200;

pub(super) async fn a_retried_event_comes_again_with_its_attempts_counted(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let id = publishing.publish(7).await;
    for attempt in 1..=5 {
        let delivery = subscriber.next().await;
        assert_eq!((delivery.metadata().id(), delivery.attempt()), (id.clone(), attempt));
        assert_eq!(numbered(&delivery).number, 7);
        match attempt {
            5 => ack(delivery).await,
            _ => retry(delivery, Duration::from_millis(10)).await,
        }
    }
    publishing.publish(8).await;
    subscriber.expect(8).await;
    subscribing.settled().await;
    Ok(())
}

pub(super) async fn a_delivery_that_is_dropped_comes_again(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let id = publishing.publish(1).await;
    drop(subscriber.next().await);
    let delivery = subscriber.next_within(DEADLINE + trial.redelivery_time()).await;
    assert_eq!((delivery.metadata().id(), delivery.attempt()), (id, 2));
    ack(delivery).await;
    subscribing.settled().await;
    Ok(())
}

pub(super) async fn a_retry_waits_its_time_and_holds_back_nobody(
    trial: &Trial,
) -> Result<(), Unsupported> {
    const DELAY: Duration = Duration::from_millis(500);
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    publishing.publish(0).await;
    let delivery = subscriber.next().await;
    let failed = Instant::now();
    retry(delivery, DELAY).await;
    let mut next = 1;
    let again = loop {
        publishing.publish(next).await;
        let delivery = subscriber.next().await;
        if numbered(&delivery).number == 0 {
            break delivery;
        }
        assert_eq!(numbered(&delivery).number, next);
        ack(delivery).await;
        next += 1;
    };
    assert!(failed.elapsed() >= DELAY, "it came after {:?}", failed.elapsed());
    assert!(next > 1, "nothing else was delivered while it waited");
    assert_eq!(again.attempt(), 2);
    ack(again).await;
    subscriber.expect(next).await;
    subscribing.settled().await;
    Ok(())
}

pub(super) async fn a_retry_concerns_no_other_subscriber(trial: &Trial) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut failing = subscribing.subscribe("failing").await;
    let mut working = subscribing.subscribe("working").await;
    publishing.publish(1).await;
    working.expect(1).await;
    retry(failing.next().await, Duration::ZERO).await;
    failing.expect(1).await;
    publishing.publish(2).await;
    working.expect(2).await;
    Ok(())
}

pub(super) async fn many_retries_lose_and_double_nothing(trial: &Trial) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let ledger = Ledger::of(["mail"]);
    let entries = ledger.clone();
    let worker = subscribing.subscribe("mail").await.handle(move |delivery| {
        // A third of them fails once, a third twice.
        if delivery.attempt() <= numbered(delivery).number % 3 {
            return Verdict::Retry(Duration::from_millis(20));
        }
        entries.done("mail", delivery.metadata().id());
        Verdict::Handled
    });
    publish(&publishing, &ledger, 0..EVENTS).await;
    ledger.complete_within(DEADLINE).await;
    subscribing.settled().await;
    ledger.verify(0);
    let attempts: u32 = (0..EVENTS).map(|number| number % 3 + 1).sum();
    assert_eq!(worker.seen.count(), attempts as usize);
    Ok(())
}

pub(super) async fn a_dead_letter_is_listed_with_its_reason(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    assert!(letters_of(&subscribing).await.is_empty());
    let mut ids = Vec::new();
    for (number, reason) in [(1, "no such address: 東京"), (2, "the card was refused")] {
        ids.push(publishing.publish(number).await);
        retry(subscriber.next().await, Duration::ZERO).await;
        dead_letter(subscriber.next().await, reason).await;
    }
    let letters = letters_of(&subscribing).await;
    let listed: Vec<_> = letters.iter().map(|it| it.envelope.metadata().id()).collect();
    assert_eq!(listed, ids, "the oldest comes first");
    let letter = &letters[0];
    assert_eq!((&*letter.subscriber, letter.attempts), ("mail", 2));
    assert!(letter.reason.contains("no such address: 東京"), "{}", letter.reason);
    assert!(letters[1].reason.contains("the card was refused"), "{}", letters[1].reason);
    let event = letter.envelope.payload().decode::<super::process::Numbered>();
    assert_eq!(event.expect("the event is kept").number, 1);
    let age = letter.time.elapsed().unwrap_or_default();
    assert!(age < Duration::from_secs(60), "a dead letter is {age:?} old");
    Ok(())
}

pub(super) async fn a_dead_letter_does_not_come_again(trial: &Trial) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut failing = subscribing.subscribe("failing").await;
    let mut working = subscribing.subscribe("working").await;
    publishing.publish(1).await;
    dead_letter(failing.next().await, "it never works").await;
    publishing.publish(2).await;
    failing.expect(2).await;
    working.expect(1).await;
    working.expect(2).await;
    subscribing.settled().await;
    Ok(())
}

pub(super) async fn dead_letters_are_seen_from_every_process(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Remote)?;
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let id = publishing.publish(1).await;
    dead_letter(subscriber.next().await, "it never works").await;
    subscribing.close().await;
    let letters = letters_of(&trial.process("shop").await).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].envelope.metadata().id(), id);
    Ok(())
}

/// The dead letters of the subscribers that checks have.
pub(super) async fn letters_of(process: &Process) -> Vec<DeadLetter> {
    let subscribers = ["mail", "failing", "working"].map(Arc::from);
    let reading = async {
        let mut reader = process.backend.dead_letters(&subscribers).await?;
        let mut letters = Vec::new();
        loop {
            let page = reader.next_page().await?;
            if page.is_empty() {
                return Ok::<_, BackendError>(letters);
            }
            letters.extend(page);
        }
    };
    let letters = in_time("the dead letters", reading).await;
    letters.unwrap_or_else(|error| panic!("dead letters: {error:?}"))
}
