//! Events that are published with a delay.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    process::{Process, order},
    subject::Unsupported,
    subscriber::{ack, numbered},
    trial::{Need, Trial},
    wait::in_time,
};
use crate::backend::{Origin, Outgoing};

const DELAY: Duration = Duration::from_millis(800);

fn outgoing(number: u32, delay: Option<Duration>) -> Outgoing {
    Outgoing { envelope: order(number), origin: Origin::Application, delay }
}

/// Publishes `order.created` with that number and a delay.
async fn publish_later(process: &Process, number: u32, delay: Duration) {
    let publishing = process.backend.publish(outgoing(number, Some(delay)));
    let published = in_time("a confirmation", publishing).await;
    published.unwrap_or_else(|error| panic!("publish: {error:?}"));
}

pub(super) async fn a_delayed_event_comes_not_before_its_time_and_holds_up_no_other(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Delay)?;
    let (publishing, subscribing) = trial.two_processes().await;
    let mut mail = subscribing.subscribe("mail").await;
    let mut audit = subscribing.subscribe("working").await;
    let start = Instant::now();
    publish_later(&publishing, 2, DELAY * 2).await;
    publish_later(&publishing, 1, DELAY).await;
    publishing.publish(0).await;
    for subscriber in [&mut mail, &mut audit] {
        for (number, earliest) in (0..).zip([Duration::ZERO, DELAY, DELAY * 2]) {
            let delivery = subscriber.next().await;
            assert_eq!((numbered(&delivery).number, delivery.attempt()), (number, 1));
            let after = start.elapsed();
            assert!(after >= earliest, "order {number} came after {after:?}");
            ack(delivery).await;
        }
    }
    subscribing.settled().await;
    Ok(())
}

pub(super) async fn events_published_at_once_have_their_own_delays(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Delay)?;
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    let start = Instant::now();
    let delays = [Some(DELAY), None, Some(DELAY * 2), None];
    let mut events = (0..).zip(delays).map(|(number, delay)| outgoing(number, delay));
    let results = in_time("confirmations", publishing.backend.publish_all(&mut events)).await;
    assert!(results.len() == delays.len() && results.iter().all(Result::is_ok), "{results:?}");
    for number in [1, 3, 0, 2] {
        let delivery = subscriber.next().await;
        assert_eq!(numbered(&delivery).number, number);
        let after = start.elapsed();
        let earliest = delays[number as usize].unwrap_or_default();
        assert!(after >= earliest, "order {number} came after {after:?}");
        ack(delivery).await;
    }
    Ok(())
}

pub(super) async fn a_delayed_event_goes_to_those_who_listen_when_its_time_has_come(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Delay)?;
    let (publishing, subscribing) = trial.two_processes().await;
    publish_later(&publishing, 1, DELAY * 2).await;
    let mut subscriber = subscribing.subscribe("mail").await;
    subscriber.expect(1).await;
    subscribing.settled().await;
    Ok(())
}

pub(super) async fn a_delayed_event_outlives_its_publisher(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Delay)?;
    trial.needs(Need::AtLeastOnce)?;
    trial.needs(Need::Remote)?;
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    publish_later(&publishing, 1, DELAY).await;
    publishing.close().await;
    drop(publishing);
    subscriber.expect(1).await;
    subscribing.settled().await;
    Ok(())
}
