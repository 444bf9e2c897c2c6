//! A subscriber that handles one event at a time gets those of one publisher in order.

use super::{
    process::{Numbered, ORDER_CREATED, event, order},
    subject::Unsupported,
    subscriber::Sight,
    trial::Trial,
};
use crate::backend::{Origin, Outgoing};

const PUBLISHERS: u32 = 4;
const EVENTS: u32 = 250;

pub(super) async fn events_of_one_publisher_arrive_in_order(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let workers = [
        subscribing.subscribe("mail").await.handle_all(),
        subscribing.subscribe("stock").await.handle_all(),
    ];
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let process = publishing.clone();
            tokio::spawn(async move {
                for number in 0..EVENTS {
                    let order = event(&ORDER_CREATED, Numbered { publisher, number });
                    process.publish_event(order).await;
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.expect("publishing works");
    }
    for worker in workers {
        worker.seen.reach((PUBLISHERS * EVENTS) as usize).await;
        let seen = worker.stop().await;
        for publisher in 0..PUBLISHERS {
            assert_in_order(&seen, publisher);
        }
    }
    Ok(())
}

pub(super) async fn events_published_at_once_arrive_in_order(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let (publishing, subscribing) = trial.two_processes().await;
    let worker = subscribing.subscribe("mail").await.handle_all();
    let outgoing =
        |number| Outgoing { envelope: order(number), origin: Origin::Application, delay: None };
    publishing.backend.publish_all(&mut (0..EVENTS).map(outgoing)).await;
    worker.seen.reach(EVENTS as usize).await;
    assert_in_order(&worker.stop().await, 0);
    Ok(())
}

fn assert_in_order(seen: &[Sight], publisher: u32) {
    let events = seen.iter().map(|sight| sight.event).filter(|it| it.publisher == publisher);
    let numbers: Vec<_> = events.map(|event| event.number).collect();
    assert!(numbers.iter().copied().eq(0..EVENTS), "publisher {publisher}: {numbers:?}");
}
