//! Subscribers that listen to many names.

use std::collections::BTreeSet;

use super::{
    process::{Numbered, ORDER_CREATED, event},
    subject::Unsupported,
    subscriber::{Subscriber, ack, numbered},
    trial::{Need, Trial},
};
use crate::envelope::{EventName, Pattern, Topic};

const NAMES: [&str; 8] = [
    "order",
    "order.created",
    "order.paid",
    "order.line.added",
    "orders.created",
    "user.created",
    "user.order.created",
    "done",
];

/// The last event of a check, which every pattern of the check matches.
const LAST: u32 = u32::MAX;

pub(super) fn pattern(pattern: &str) -> Topic {
    Topic::Pattern(Pattern::parse(pattern).expect("it is a pattern"))
}

pub(super) async fn a_pattern_gets_the_events_that_match_it(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Patterns)?;
    let patterns =
        ["#", "order.*", "order.#", "*.created", "#.created", "*", "*.*.*", "order.#.added"];
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscribers = Vec::new();
    for text in patterns {
        subscribers.push(subscribing.subscribe_to(&text.replace('*', "star"), pattern(text)).await);
    }
    for name in NAMES {
        let name = EventName::parse(name).expect("it is a name");
        publishing.publish_event(event(&name, Numbered { publisher: 0, number: 0 })).await;
    }
    for (subscriber, text) in subscribers.iter_mut().zip(patterns) {
        let pattern = Pattern::parse(text).expect("it is a pattern");
        let matching: BTreeSet<_> =
            NAMES.into_iter().filter(|name| pattern.matches(name)).collect();
        let mut received = BTreeSet::new();
        for _ in 0..matching.len() {
            let delivery = subscriber.next().await;
            received.insert(delivery.metadata().name().to_string());
            ack(delivery).await;
        }
        assert!(received.iter().eq(matching.iter()), "{text} got {received:?}");
        nothing_but_the_last(&publishing, subscriber, text).await;
    }
    Ok(())
}

/// Sees that nothing was left for the subscriber, by one more event that matches its pattern.
async fn nothing_but_the_last(
    publishing: &super::process::Process,
    subscriber: &mut Subscriber,
    pattern: &str,
) {
    let name = pattern.replace(['*', '#'], "last");
    let name = EventName::parse(&name).expect("a pattern filled in is a name");
    publishing.publish_event(event(&name, Numbered { publisher: 0, number: LAST })).await;
    loop {
        let delivery = subscriber.next().await;
        let number = numbered(&delivery).number;
        let last = delivery.metadata().name() == &name;
        // The last events of other patterns may match this one too.
        assert_eq!(number, LAST, "{pattern} got {} as well", delivery.metadata().name());
        ack(delivery).await;
        if last {
            return;
        }
    }
}

pub(super) async fn an_event_reaches_patterns_and_names_once_each(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Patterns)?;
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscribers = [
        subscribing.subscribe_to("all", pattern("#")).await,
        subscribing.subscribe_to("orders", pattern("order.*")).await,
        subscribing.subscribe_to("orders-too", pattern("order.*")).await,
        subscribing.subscribe_to("created", Topic::Event(ORDER_CREATED)).await,
    ];
    for number in 0..100 {
        publishing.publish(number).await;
    }
    for subscriber in &mut subscribers {
        for number in 0..100 {
            subscriber.expect(number).await;
        }
    }
    Ok(())
}
