//! What the scenarios share.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aury_events::{EventBusManagerBuilder, prelude::*};
use tokio::time::timeout;

/// What subscribers did, in order. They take it as `State<Log>`.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    pub fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// What subscribers did, where their order is not fixed.
    pub fn sorted(&self) -> Vec<String> {
        let mut entries = self.entries();
        entries.sort();
        entries
    }
}

/// A manager that runs the subscribers of one module and gives them a log.
pub fn manager_of(module: &str) -> (EventBusManagerBuilder, Log) {
    let log = Log::default();
    let builder = EventBusManager::builder()
        .service("tests")
        .subscribers(format!("{module}::*"))
        .state(log.clone());
    (builder, log)
}

/// The outcome of `future`, which has to come in time: a deadlock fails instead of hanging.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("this should not take 30 seconds")
}
