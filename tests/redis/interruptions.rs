//! Events over which processes die: real processes, that are killed or abort in the middle of a handler.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use aury_events_backends::{Backend, BackendConfig};
use redis::Value;

use crate::backends::{
    DEADLINE, Server, ack, connect, event, eventually, letters, next, next_within, number, publish,
    subscribed, to_order,
};

/// How long a process may be silent here until it counts as dead.
const MIN_IDLE: Duration = Duration::from_secs(1);

/// The event over which processes die.
const DEADLY: u64 = 13;

/// The event whose handler does not end.
const ENDLESS: u64 = 14;

/// A process that handles what there is, until it dies or is killed; dropped, it is killed.
struct Worker(Child);

impl Worker {
    /// Runs [`worker`] in a process of its own, which writes what it does into a file.
    fn start(server: &Server, log: &Path, max_interruptions: u32) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "interruptions::worker"]);
        command.env("WORKER_URL", server.0.url()).env("WORKER_LOG", log);
        command.env("WORKER_MAX_INTERRUPTIONS", max_interruptions.to_string());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn configure(config: &mut BackendConfig, max_interruptions: u32) {
    config.max_interruptions = max_interruptions;
}

/// No test: what a [`Worker`] runs. Without being told where the server is, it does nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the program of other tests"]
async fn worker() {
    let Ok(url) = std::env::var("WORKER_URL") else { return };
    let log = std::env::var("WORKER_LOG").unwrap();
    let max_interruptions = std::env::var("WORKER_MAX_INTERRUPTIONS").unwrap().parse().unwrap();
    let mut log = OpenOptions::new().create(true).append(true).open(log).unwrap();
    let configure = |config: &mut BackendConfig| configure(config, max_interruptions);
    let backend = connect(&url, "shop", MIN_IDLE, configure).await.unwrap();
    let mut consumer = subscribed(&backend, to_order()).await;
    loop {
        let Some(delivery) = next_within(&mut consumer, DEADLINE).await else { return };
        let (number, attempt) = (number(&delivery), delivery.attempt());
        writeln!(log, "{number} {attempt}").unwrap();
        match number {
            DEADLY => std::process::abort(),
            ENDLESS => std::future::pending().await,
            _ => drop(ack(delivery).await),
        }
    }
}

/// How often each event's handler has begun, and the highest attempt.
fn begun(log: &Path) -> HashMap<u64, (u32, u32)> {
    let mut begun = HashMap::new();
    for line in std::fs::read_to_string(log).unwrap_or_default().lines() {
        let Some((number, attempt)) = line.split_once(' ') else { continue };
        let (times, highest) = begun.entry(number.parse().unwrap()).or_insert((0, 0));
        *times += 1;
        *highest = attempt.parse::<u32>().unwrap().max(*highest);
    }
    begun
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn an_event_that_kills_its_process_is_a_dead_letter_in_the_end_and_no_other() {
    let max_interruptions = if std::env::var_os("AURY_LONG").is_some() { 5 } else { 2 };
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let observer = server.backend().await;
    // The group is there before the events are, so that the first process has a full window.
    drop(subscribed(&observer, to_order()).await);
    publish(&observer, "order", (0..40).filter(|it| *it != ENDLESS)).await;
    let mut deaths = 0;
    let mut worker = Worker::start(&server, &log, max_interruptions);
    eventually("the event becomes a dead letter", async || {
        if worker.has_ended() {
            deaths += 1;
            worker = Worker::start(&server, &log, max_interruptions);
        }
        !letters(&observer).await.is_empty() && begun(&log).len() == 39
    })
    .await;
    eventually("all is settled", async || server.pending().await == Value::Int(0)).await;
    let begun = begun(&log);
    // What it did to the first of them was not known to be its doing.
    assert!((max_interruptions..=max_interruptions + 1).contains(&begun[&DEADLY].0), "{begun:?}");
    assert_eq!(deaths, begun[&DEADLY].0);
    assert!(begun.values().all(|(_, attempt)| *attempt == 1), "no attempt is lost: {begun:?}");
    let letters = letters(&observer).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].envelope.payload().decode_json::<u64>().unwrap(), DEADLY);
    assert!(letters[0].reason.contains("died"), "{}", letters[0].reason);
    assert_eq!(letters[0].attempts, 1);
    drop(worker);
    observer.close().await.unwrap();
}

/// How often `order`'s only pending entry was delivered, as the server counts it, and whose it is.
async fn pending(server: &Server) -> (u64, String) {
    let pending: Vec<(String, String, u64, u64)> =
        server.ask("XPENDING events:order shop/mail - + 10").await;
    let [(_, owner, _, count)] = &pending[..] else { panic!("{pending:?}") };
    (*count, owner.clone())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_pause_and_a_shutdown_count_as_no_interruption() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let connect = async || connect(&server.0.url(), "shop", MIN_IDLE, |_| ()).await.unwrap();
    let observer = connect().await;
    drop(subscribed(&observer, to_order()).await);
    observer.publish(event("order", ENDLESS)).await.unwrap();
    // One process dies over it, which makes it a suspect; the next is told of on the server.
    let times_begun = || begun(&log).get(&ENDLESS).map_or(0, |(times, _)| *times);
    let killed = Worker::start(&server, &log, 5);
    eventually("it has begun", async || times_begun() == 1).await;
    drop(killed);
    let paused = Worker::start(&server, &log, 5);
    eventually("it has begun again", async || times_begun() == 2).await;
    assert_eq!(pending(&server).await.0, 1_000_000_001);
    paused.signal("STOP");
    let other = connect().await;
    let mut consumer = subscribed(&other, to_order()).await;
    let delivery = next(&mut consumer).await;
    assert_eq!((number(&delivery), delivery.attempt()), (ENDLESS, 1));
    assert_eq!(pending(&server).await.0, 2_000_000_001);
    let owner = pending(&server).await.1;
    paused.signal("CONT");
    let absolved = (1_000_000_001, owner);
    eventually("the pause is no interruption", async || pending(&server).await == absolved).await;
    drop(paused);
    drop(consumer);
    drop(delivery);
    other.close().await.unwrap();
    assert_eq!(pending(&server).await, (1, "nobody".to_owned()), "nor is the end");
    let mut consumer = subscribed(&observer, to_order()).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.attempt(), 1);
    ack(delivery).await;
    observer.in_flight().settled().await;
    observer.close().await.unwrap();
}
