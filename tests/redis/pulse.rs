//! A handler that blocks its thread does not have its process taken for dead.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    brokers::RedisServer,
    support::{SOON, until},
};

/// Longer than a process may be silent, which is ten seconds.
const BLOCKED: Duration = Duration::from_secs(16);

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "pulse.order")]
struct Order {
    number: u64,
}

#[derive(Debug, Clone, Default)]
struct Runs(Arc<AtomicU32>);

#[subscribe(name = "pulse.blocks")]
async fn blocks(_order: &Order, State(runs): State<Runs>) {
    if runs.0.fetch_add(1, SeqCst) == 0 {
        std::thread::sleep(BLOCKED);
    }
}

async fn start(url: String, runs: &Runs) -> EventBusManager {
    EventBusManager::builder()
        .service("pulse")
        .subscribers("pulse.*")
        .state(runs.clone())
        .bus("default", BusConfig::redis_streams(url))
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_process_whose_only_thread_is_blocked_keeps_what_it_holds() {
    let server = RedisServer::start();
    let runs = Runs::default();
    let (url, its_runs) = (server.url(), runs.clone());
    // Another process, as far as the server can tell: a runtime of one thread.
    let blocked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let manager = start(url, &its_runs).await;
            manager.default_bus().publish(Order { number: 1 }).await.unwrap();
            until("it is handled", SOON, || its_runs.0.load(SeqCst) > 0).await;
            manager.shutdown().await.unwrap();
        });
    });
    until("the handler runs", SOON, || runs.0.load(SeqCst) == 1).await;
    // It would take over.
    let other = start(server.url(), &runs).await;
    tokio::task::spawn_blocking(move || blocked.join().unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(runs.0.load(SeqCst), 1, "it was handled once more");
    other.shutdown().await.unwrap();
}
