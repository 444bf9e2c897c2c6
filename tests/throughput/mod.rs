//! What the measurements beside a raw client share: the event, the same event written by hand, and the loop that
//! publishes no further ahead of the consumer than a window.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// The event that is measured.
#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "throughput.measured")]
pub(crate) struct Measured {
    pub(crate) number: u64,
    text: String,
}

pub(crate) fn measured(number: u64) -> Measured {
    Measured { number, text: "x".repeat(160) }
}

/// What a raw consumer reads of an envelope: the event alone.
#[derive(Serialize, Deserialize)]
pub(crate) struct Structured<E> {
    pub(crate) data: E,
}

/// An event with its metadata, as one writes it without a framework.
#[derive(Serialize)]
struct ByHand<'a> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    r#type: &'a str,
    time: &'a str,
    datacontenttype: &'a str,
    traceparent: &'a str,
    correlationid: &'a str,
    dataversion: u32,
    hops: u16,
    data: Measured,
}

/// The same attributes as an envelope has, each made anew for the event.
pub(crate) fn by_hand(number: u64) -> Vec<u8> {
    let id = uuid::Uuid::new_v4();
    let id_text = id.to_string();
    let traceparent = format!("00-{}-{:016x}-01", id.simple(), number + 1);
    let event = ByHand {
        specversion: "1.0",
        id: &id_text,
        source: "/tests",
        r#type: "throughput.measured",
        time: "2026-11-22T12:00:00.000000Z",
        datacontenttype: "application/json",
        traceparent: &traceparent,
        correlationid: &id_text,
        dataversion: 1,
        hops: 0,
        data: measured(number),
    };
    serde_json::to_vec(&event).unwrap()
}

/// Counts what has arrived, and wakes the publisher when it may go on.
#[derive(Default)]
pub(crate) struct Arrived {
    count: AtomicU64,
    progress: Notify,
}

impl Arrived {
    pub(crate) fn add(&self, number: u64) {
        std::hint::black_box(number);
        let count = self.count.fetch_add(1, SeqCst) + 1;
        if count.is_multiple_of(500) {
            self.progress.notify_one();
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }

    pub(crate) async fn reach(&self, count: u64) {
        while self.count() < count {
            let _ = tokio::time::timeout(Duration::from_millis(5), self.progress.notified()).await;
        }
    }
}

/// How one side of a comparison publishes.
pub(crate) struct Load {
    pub(crate) events: u64,
    /// How many events one call of `publish` publishes.
    pub(crate) chunk: u64,
    /// How many events may be under way, so that no queue overflows.
    pub(crate) window: u64,
}

impl Load {
    /// Publishes in chunks, no further ahead of the consumer than the window; gives events per second.
    pub(crate) async fn run(&self, arrived: &Arrived, mut publish: impl AsyncFnMut(u64)) -> f64 {
        arrived.count.store(0, SeqCst);
        let start = Instant::now();
        for first in (0..self.events).step_by(self.chunk as usize) {
            publish(first).await;
            arrived.reach((first + self.chunk).saturating_sub(self.window)).await;
        }
        arrived.reach(self.events).await;
        self.events as f64 / start.elapsed().as_secs_f64()
    }
}

pub(crate) fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
