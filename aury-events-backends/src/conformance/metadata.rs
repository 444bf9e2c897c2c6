//! What the framework knows of an event travels with it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    process::{Numbered, ORDER_CREATED, SOURCE, order},
    subject::Unsupported,
    subscriber::ack,
    trial::Trial,
};
use crate::envelope::{Envelope, EventName, Metadata, Payload, Topic};

const VERSION: u32 = 3;

fn metadata_of(name: EventName) -> Metadata {
    Metadata::new(name, VERSION, SOURCE, None)
}

/// The metadata of an event that was sent with these.
async fn received(trial: &Trial, sent: &Metadata) -> Metadata {
    let (publishing, subscribing) = trial.two_processes().await;
    let topic = Topic::Event(sent.name().clone());
    let mut subscriber = subscribing.subscribe_to("mail", topic).await;
    let payload = Payload::Typed(Arc::new(Numbered { publisher: 0, number: 0 }));
    publishing.publish_event(Envelope::new(sent.clone(), payload)).await;
    let delivery = subscriber.next().await;
    let metadata = delivery.metadata().clone();
    ack(delivery).await;
    metadata
}

pub(super) async fn id_name_version_source_and_time_are_kept(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let sent = metadata_of(ORDER_CREATED);
    let received = received(trial, &sent).await;
    assert_eq!(received.id(), sent.id());
    assert_eq!(received.name(), sent.name());
    assert_eq!(received.version(), VERSION);
    assert_eq!(received.source(), SOURCE);
    let [earlier, later] = {
        let mut times = [sent.time(), received.time()];
        times.sort();
        times
    };
    let apart = later.duration_since(earlier).expect("they are sorted");
    assert!(apart < Duration::from_millis(1), "time moved by {apart:?}");
    Ok(())
}

pub(super) async fn key_and_headers_are_kept(trial: &Trial) -> Result<(), Unsupported> {
    let sent = metadata_of(ORDER_CREATED)
        .with_key("order/17 — Zürich 🚀")
        .with_header("tenant", "acme")
        .with_header("region", "東京 \"quoted\" \\ : =")
        .with_header("x1", "1");
    let received = received(trial, &sent).await;
    assert_eq!(received.key(), sent.key());
    let headers = |metadata: &Metadata| -> BTreeMap<String, String> {
        metadata.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    assert_eq!(headers(&received), headers(&sent));

    let plain = metadata_of(ORDER_CREATED);
    let received = self::received(trial, &plain).await;
    assert_eq!((received.key(), received.headers().count()), (None, 0));
    Ok(())
}

pub(super) async fn a_chain_of_events_keeps_its_trace_and_its_causes(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let first = order(0);
    let (root, mut expected) = (first.metadata().clone(), first.metadata().clone());
    publishing.publish_event(first).await;
    for hops in 0..5 {
        let delivery = subscriber.next().await;
        let received = delivery.metadata();
        assert_eq!(received.trace(), expected.trace());
        assert_eq!(received.correlation_id(), root.id());
        assert_eq!(received.causation_id(), expected.causation_id());
        assert_eq!(received.hops(), hops);
        // What was received, not what was sent, causes the next one.
        let cause = received.as_cause();
        let payload = Payload::Typed(Arc::new(Numbered { publisher: 0, number: 0 }));
        let next = Envelope::published(ORDER_CREATED, 1, SOURCE, Some(&cause), payload);
        expected = next.metadata().clone();
        assert_eq!(expected.causation_id(), Some(received.id()));
        publishing.publish_event(next).await;
        ack(delivery).await;
    }
    Ok(())
}

pub(super) async fn an_id_from_elsewhere_is_kept(trial: &Trial) -> Result<(), Unsupported> {
    for id in ["order/17", "01890A5D-AC96-774B-BCCE-B302099A8057", "nº 5 🚀"] {
        let sent = metadata_of(ORDER_CREATED).with_id(id.into());
        let received = received(trial, &sent).await;
        assert_eq!(received.id().to_string(), id);
        assert_eq!(received.correlation_id(), sent.correlation_id());
    }
    Ok(())
}

pub(super) async fn the_longest_name_is_delivered(trial: &Trial) -> Result<(), Unsupported> {
    let name = format!("{}.z_9-A", "x".repeat(194));
    let sent = metadata_of(EventName::parse(&name).expect("200 bytes are allowed"));
    assert_eq!(received(trial, &sent).await.name().as_str(), name);
    Ok(())
}
