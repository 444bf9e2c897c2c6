//! What the tests on RabbitMQ share.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aury_events::{EventBusManagerBuilder, prelude::*};
use tokio::time::sleep;

use crate::waiting::INTERVAL;
pub(crate) use crate::waiting::{SOON, until};

/// A corner of a server that no other test uses: an exchange and a service.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Place {
    pub(crate) fn at(url: impl Into<String>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("corner-{}", NUMBER.fetch_add(1, SeqCst));
        Self { url: url.into(), name }
    }

    /// The same one, by the way of a proxy.
    pub(crate) fn by(&self, url: String) -> Self {
        Self { url, ..self.clone() }
    }

    pub(crate) fn config(&self) -> BusConfig {
        BusConfig::rabbitmq(&*self.url).exchange_name(&*self.name)
    }

    /// A process of the service, which runs these subscribers.
    pub(crate) fn process(&self, subscribers: &str) -> EventBusManagerBuilder {
        self.process_as(subscribers, self.config())
    }

    pub(crate) fn process_as(
        &self,
        subscribers: &str,
        config: BusConfig,
    ) -> EventBusManagerBuilder {
        EventBusManager::builder()
            .service(&*self.name)
            .subscribers(subscribers)
            .bus("default", config)
    }

    /// The queue of a subscriber: exchange, service and its id.
    pub(crate) fn queue(&self, subscriber: &str) -> String {
        format!("{0}/{0}/{subscriber}", self.name)
    }

    /// The queue of what has waited.
    pub(crate) fn waited(&self) -> String {
        format!("{}/delay:waited", self.name)
    }

    /// The queue of what has waited and can go nowhere.
    pub(crate) fn stranded(&self) -> String {
        format!("{}/delay:stranded", self.name)
    }

    /// The queue of its dead letters.
    pub(crate) fn dead(&self, subscriber: &str) -> String {
        format!("{}/dead", self.queue(subscriber))
    }
}

/// What subscribers did, in order. They take it as `State<Log>`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(String, Instant)>>>);

impl Log {
    pub(crate) fn add(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push((entry.into(), Instant::now()));
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(entry, _)| entry.clone()).collect()
    }

    pub(crate) fn times(&self) -> Vec<Instant> {
        self.0.lock().unwrap().iter().map(|(_, time)| *time).collect()
    }

    /// Waits until it has so many entries, and gives them sorted.
    pub(crate) async fn reaches(&self, count: usize) -> Vec<String> {
        until(&format!("{count} entries"), SOON, || self.0.lock().unwrap().len() >= count).await;
        let mut entries = self.entries();
        entries.sort();
        entries
    }
}

/// Waits for a condition that takes an answer of the server.
pub(crate) async fn eventually(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) -> Duration {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(INTERVAL).await;
    }
    start.elapsed()
}
