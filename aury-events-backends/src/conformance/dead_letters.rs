//! What becomes of dead letters: they are read, replayed or purged.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    failures::letters_of,
    process::Process,
    subject::Unsupported,
    subscriber::{Subscriber, ack, dead_letter, numbered, retry},
    trial::{Need, Trial},
    wait::in_time,
};
use crate::{
    dead_letters::{DeadLetter, DeadLetterReader},
    delivery::Delivery,
    envelope::{EventId, Topic},
};

/// More than anybody reads at a time.
const MANY: u32 = 300;

/// Has the subscriber fail for good on the next event, which becomes a dead letter.
async fn fail_next(subscriber: &mut Subscriber) {
    dead_letter(subscriber.next().await, "it never works").await;
}

/// Publishes an order that the subscriber cannot handle; gives its dead letter.
async fn letter(
    publishing: &Process,
    process: &Process,
    subscriber: &mut Subscriber,
) -> DeadLetter {
    let id = publishing.publish(1).await;
    fail_next(subscriber).await;
    let letters = letters_of(process).await;
    let letter = letters.into_iter().find(|letter| letter.envelope.metadata().id() == id);
    letter.expect("the dead letter is listed")
}

async fn reader(process: &Process, subscribers: &[&str]) -> Box<dyn DeadLetterReader> {
    let subscribers: Vec<_> = subscribers.iter().copied().map(Arc::from).collect();
    let opened = in_time("a reader", process.backend.dead_letters(&subscribers)).await;
    opened.unwrap_or_else(|error| panic!("dead letters: {error:?}"))
}

async fn page(reader: &mut Box<dyn DeadLetterReader>) -> Vec<DeadLetter> {
    let page = in_time("a page of dead letters", reader.next_page()).await;
    page.unwrap_or_else(|error| panic!("dead letters: {error:?}"))
}

async fn replay(letter: DeadLetter) -> bool {
    let replayed = in_time("a replay", letter.replay()).await;
    replayed.unwrap_or_else(|error| panic!("replay: {error:?}"))
}

async fn purge(letter: DeadLetter) -> bool {
    let purged = in_time("a dead letter is purged", letter.purge()).await;
    purged.unwrap_or_else(|error| panic!("purge: {error:?}"))
}

/// That it is the event of a letter, given as for the first time; acknowledges it.
async fn expect_replayed(delivery: Delivery, letter: &DeadLetter) {
    let (metadata, expected) = (delivery.metadata(), letter.envelope.metadata());
    assert_eq!(metadata.id(), expected.id());
    assert_eq!(metadata.correlation_id(), expected.correlation_id());
    assert_eq!(metadata.causation_id(), expected.causation_id());
    assert_eq!(delivery.attempt(), 1, "a replay is a first attempt");
    ack(delivery).await;
}

pub(super) async fn a_replayed_letter_goes_to_its_subscriber_alone_as_a_first_attempt(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut failing = subscribing.subscribe("failing").await;
    let mut working = subscribing.subscribe("working").await;
    let id = publishing.publish(1).await;
    retry(failing.next().await, Duration::ZERO).await;
    fail_next(&mut failing).await;
    working.expect(1).await;
    let letter = letters_of(&subscribing).await.remove(0);
    assert_eq!((letter.envelope.metadata().id(), letter.attempts), (id, 2));
    assert!(replay(letter.clone()).await, "it is there");
    expect_replayed(failing.next().await, &letter).await;
    publishing.publish(2).await;
    failing.expect(2).await;
    working.expect(2).await;
    subscribing.settled().await;
    Ok(())
}

pub(super) async fn a_replayed_letter_is_there_no_more(trial: &Trial) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let letter = letter(&publishing, &subscribing, &mut subscriber).await;
    assert!(replay(letter.clone()).await, "it is there");
    expect_replayed(subscriber.next().await, &letter).await;
    assert!(letters_of(&subscribing).await.is_empty());
    assert!(!replay(letter.clone()).await, "it was replayed");
    assert!(!purge(letter).await, "it was replayed");
    publishing.publish(2).await;
    subscriber.expect(2).await;
    Ok(())
}

pub(super) async fn a_replayed_letter_that_fails_again_is_one_again(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let first = letter(&publishing, &subscribing, &mut subscriber).await;
    assert!(replay(first.clone()).await, "it is there");
    dead_letter(subscriber.next().await, "not this time either").await;
    let letters = letters_of(&subscribing).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].envelope.metadata().id(), first.envelope.metadata().id());
    assert!(letters[0].reason.contains("not this time either"), "{}", letters[0].reason);
    assert_eq!(letters[0].attempts, 1);
    assert!(replay(letters[0].clone()).await, "it is there");
    expect_replayed(subscriber.next().await, &letters[0]).await;
    Ok(())
}

pub(super) async fn a_purged_letter_is_there_no_more(trial: &Trial) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let purged = letter(&publishing, &subscribing, &mut subscriber).await;
    let kept = letter(&publishing, &subscribing, &mut subscriber).await;
    assert!(purge(purged.clone()).await, "it is there");
    assert!(!purge(purged.clone()).await, "it was purged");
    assert!(!replay(purged).await, "it was purged");
    let letters = letters_of(&subscribing).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].envelope.metadata().id(), kept.envelope.metadata().id());
    publishing.publish(2).await;
    subscriber.expect(2).await;
    Ok(())
}

pub(super) async fn only_the_letters_that_are_asked_for_are_read(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscribers = Vec::new();
    for name in ["mail", "failing", "working"] {
        subscribers.push(subscribing.subscribe(name).await);
    }
    publishing.publish(1).await;
    for subscriber in &mut subscribers {
        fail_next(subscriber).await;
    }
    let mut reader = reader(&subscribing, &["working", "mail", "unheard-of"]).await;
    let mut read = Vec::new();
    loop {
        let page = page(&mut reader).await;
        if page.is_empty() {
            break;
        }
        read.extend(page.into_iter().map(|letter| letter.subscriber.to_string()));
    }
    read.sort();
    assert_eq!(read, ["mail", "working"]);
    Ok(())
}

pub(super) async fn the_letters_of_another_service_are_not_read(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Remote)?;
    let (publishing, ours) = trial.two_processes().await;
    let theirs = trial.process("warehouse").await;
    let mut our_mail = ours.subscribe("mail").await;
    let mut their_mail = theirs.subscribe("mail").await;
    publishing.publish(1).await;
    fail_next(&mut our_mail).await;
    their_mail.expect(1).await;
    assert!(letters_of(&theirs).await.is_empty());
    let letter = letters_of(&ours).await.remove(0);
    assert!(replay(letter.clone()).await, "it is there");
    expect_replayed(our_mail.next().await, &letter).await;
    publishing.publish(2).await;
    their_mail.expect(2).await;
    Ok(())
}

pub(super) async fn another_process_of_the_service_replays_and_purges(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Remote)?;
    let (publishing, subscribing) = trial.two_processes().await;
    let operator = trial.process("shop").await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let replayed = letter(&publishing, &operator, &mut subscriber).await;
    let purged = letter(&publishing, &operator, &mut subscriber).await;
    assert!(replay(replayed.clone()).await, "it is there");
    expect_replayed(subscriber.next().await, &replayed).await;
    assert!(purge(purged).await, "it is there");
    assert!(letters_of(&subscribing).await.is_empty());
    Ok(())
}

pub(super) async fn a_letter_whose_subscriber_is_away_is_kept_or_waits_for_it(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let letter = letter(&publishing, &subscribing, &mut subscriber).await;
    subscriber.cancel();
    assert!(subscriber.rest().await.is_empty());
    drop(subscriber);
    if trial.is_at_least_once() {
        assert!(replay(letter.clone()).await, "it is there");
        let mut subscriber = subscribing.subscribe("mail").await;
        expect_replayed(subscriber.next().await, &letter).await;
        return Ok(());
    }
    let replayed = in_time("a replay", letter.clone().replay()).await;
    let error = replayed.expect_err("nobody is there to take it");
    assert!(error.is_not_subscribed(), "{error:?}");
    assert_eq!(letters_of(&subscribing).await.len(), 1);
    let mut subscriber = subscribing.subscribe("mail").await;
    assert!(replay(letter.clone()).await, "it has been kept");
    expect_replayed(subscriber.next().await, &letter).await;
    Ok(())
}

pub(super) async fn the_letter_of_a_broadcast_subscriber_is_replayed(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let topic = Topic::Event(super::process::ORDER_CREATED);
    let spec = subscribing.spec("mail", topic).broadcast();
    let mut subscriber = subscribing.subscribe_as(spec).await;
    let mut other = subscribing.subscribe("working").await;
    let letter = letter(&publishing, &subscribing, &mut subscriber).await;
    other.expect(1).await;
    assert!(replay(letter.clone()).await, "it is there");
    expect_replayed(subscriber.next().await, &letter).await;
    publishing.publish(2).await;
    subscriber.expect(2).await;
    other.expect(2).await;
    Ok(())
}

pub(super) async fn reading_ends_with_what_was_there_though_all_is_replayed_and_fails_again(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let mut ids = Vec::new();
    for number in 0..MANY {
        ids.push(publishing.publish(number).await);
        fail_next(&mut subscriber).await;
    }
    let mut reader = reader(&subscribing, &["mail"]).await;
    let mut read: Vec<EventId> = Vec::new();
    loop {
        let page = page(&mut reader).await;
        if page.is_empty() {
            break;
        }
        let replayed = page.len();
        for letter in page {
            read.push(letter.envelope.metadata().id());
            assert!(read.len() <= ids.len(), "reading does not end");
            assert!(replay(letter).await, "it is there");
        }
        for _ in 0..replayed {
            fail_next(&mut subscriber).await;
        }
    }
    assert_eq!(read, ids, "each once, the oldest first");
    let letters = letters_of(&subscribing).await;
    let numbers: BTreeSet<_> =
        letters.iter().map(|it| it.envelope.metadata().id().to_string()).collect();
    assert_eq!((letters.len(), numbers.len()), (ids.len(), ids.len()));
    publishing.publish(MANY).await;
    let delivery = subscriber.next().await;
    assert_eq!(numbered(&delivery).number, MANY);
    ack(delivery).await;
    Ok(())
}
