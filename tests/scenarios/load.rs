//! Many publishers, many subscribers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

use crate::support::{in_time, manager_of};

const PUBLISHERS: u32 = 8;
const EVENTS: u32 = 10_000;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "load.measured")]
struct Measured {
    publisher: u32,
    number: u32,
}

/// The publisher and the number of each event that a subscriber received, in order.
type Events = Vec<(u32, u32)>;

/// What each subscriber received.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<BTreeMap<&'static str, Events>>>);

impl Received {
    fn add(&self, subscriber: &'static str, event: &Measured) {
        let mut all = self.0.lock().unwrap();
        all.entry(subscriber).or_default().push((event.publisher, event.number));
    }
}

#[subscribe]
async fn one(event: &Measured, State(received): State<Received>) {
    received.add("one", event);
}

#[subscribe]
async fn two(event: Arc<Measured>, State(received): State<Received>) {
    tokio::task::yield_now().await;
    received.add("two", &event);
}

#[subscribe]
async fn three(event: &Measured, State(received): State<Received>) -> Result<(), std::io::Error> {
    received.add("three", event);
    Err(std::io::Error::other("every event fails"))
}

#[subscribe]
async fn four(event: &Measured, _: Context, State(received): State<Received>) {
    received.add("four", event);
}

#[subscribe]
async fn five(event: &Measured, State(received): State<Received>) {
    if event.number.is_multiple_of(100) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    received.add("five", event);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_events_from_eight_tasks_reach_five_subscribers_once_each_in_order_per_publisher()
 {
    let received = Received::default();
    let (builder, _) = manager_of(module_path!());
    let builder = builder.bus("default", BusConfig::memory().queue_capacity(64));
    let bus = builder.state(received.clone()).start().await.unwrap().default_bus();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let bus = bus.clone();
            tokio::spawn(async move {
                for number in 0..EVENTS / PUBLISHERS {
                    bus.publish(Measured { publisher, number }).await.unwrap();
                }
            })
        })
        .collect();
    in_time(async {
        for publisher in publishers {
            publisher.await.unwrap();
        }
        bus.settled().await;
    })
    .await;

    let received = received.0.lock().unwrap();
    assert_eq!(received.len(), 5);
    for (subscriber, events) in &*received {
        assert_eq!(events.len(), EVENTS as usize, "{subscriber}");
        for publisher in 0..PUBLISHERS {
            let of_one = events.iter().filter(|(from, _)| *from == publisher);
            let numbers: Vec<_> = of_one.map(|(_, number)| *number).collect();
            let expected: Vec<_> = (0..EVENTS / PUBLISHERS).collect();
            assert_eq!(numbers, expected, "{subscriber}, publisher {publisher}");
        }
    }
}
