//! Beside the raw client, interleaved in one run: `cargo test --release --test redis throughput -- --ignored --nocapture`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aury_events::prelude::*;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::brokers::RedisServer;

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "throughput.measured")]
struct Measured {
    number: u64,
    text: String,
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

const EVENTS: u64 = 200_000;
const CHUNK: u64 = 2_000;
const ROUNDS: usize = 7;

/// How many events may be under way, so that no queue overflows.
const WINDOW: u64 = 12_000;

fn measured(number: u64) -> Measured {
    Measured { number, text: "x".repeat(160) }
}

/// Counts what has arrived, and wakes the publisher when it may go on.
#[derive(Default)]
struct Arrived {
    count: AtomicU64,
    progress: Notify,
}

impl Arrived {
    fn add(&self, number: u64) {
        let count = self.count.fetch_add(1, SeqCst) + 1;
        std::hint::black_box(number);
        if count.is_multiple_of(1000) {
            self.progress.notify_one();
        }
    }

    async fn reach(&self, count: u64) {
        while self.count.load(SeqCst) < count {
            let _ = tokio::time::timeout(Duration::from_millis(5), self.progress.notified()).await;
        }
    }
}

/// Publishes in chunks, no further ahead of the consumer than the window; gives events per second.
async fn run(arrived: &Arrived, mut publish: impl AsyncFnMut(u64)) -> f64 {
    arrived.count.store(0, SeqCst);
    let start = Instant::now();
    for first in (0..EVENTS).step_by(CHUNK as usize) {
        publish(first).await;
        arrived.reach((first + CHUNK).saturating_sub(WINDOW)).await;
    }
    arrived.reach(EVENTS).await;
    EVENTS as f64 / start.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// `wire` gives the message that the raw client sends for an event.
async fn compare(label: &str, server: &RedisServer, wire: impl Fn(u64) -> Vec<u8>) {
    let manager = EventBusManager::builder()
        .service("tests")
        .subscribers("none")
        .bus("default", BusConfig::redis(server.url()).queue_capacity(WINDOW as usize + 4096))
        .start()
        .await
        .unwrap();
    let bus = manager.default_bus();
    let ours = Arc::new(Arrived::default());
    let counts = Arc::clone(&ours);
    let subscription = bus
        .subscribe(move |event: Arc<Measured>| {
            counts.add(event.number);
            async {}
        })
        .await
        .unwrap();

    let client = redis::Client::open(server.url()).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    raw.set_response_timeout(Duration::from_secs(10));
    let mut pubsub = client.get_async_pubsub().await.unwrap();
    pubsub.subscribe("raw:throughput.measured").await.unwrap();
    let theirs = Arc::new(Arrived::default());
    let counts = Arc::clone(&theirs);
    let consumer = tokio::spawn(async move {
        let mut messages = pubsub.into_on_message();
        while let Some(message) = messages.next().await {
            // What every consumer does: it looks into the event.
            #[derive(Deserialize)]
            struct Structured {
                data: Measured,
            }
            let event: Structured = serde_json::from_slice(message.get_payload_bytes()).unwrap();
            counts.add(event.data.number);
        }
    });

    let (mut by_us, mut by_raw) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        by_raw.push(
            run(&theirs, async |first| {
                for start in (first..first + CHUNK).step_by(256) {
                    let mut pipeline = redis::pipe();
                    for number in start..(start + 256).min(first + CHUNK) {
                        pipeline
                            .cmd("PUBLISH")
                            .arg("raw:throughput.measured")
                            .arg(wire(number))
                            .ignore();
                    }
                    pipeline.exec_async(&mut raw).await.unwrap();
                }
            })
            .await,
        );
        by_us.push(
            run(&ours, async |first| {
                bus.publish_all((first..first + CHUNK).map(measured)).await.unwrap();
            })
            .await,
        );
    }
    assert_eq!(bus.health().subscriptions[0].dropped, 0);
    let (us, raw_rate) = (median(by_us), median(by_raw));
    println!("{label}: aury {us:.0}/s, raw {raw_rate:.0}/s, ratio {:.3}", us / raw_rate);
    consumer.abort();
    subscription.unsubscribe().await;
    manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: run it alone, in a release build"]
async fn throughput() {
    let server = RedisServer::start();
    // The same attributes as an envelope has, each made anew for the event, and written by hand.
    let envelope = |number: u64| {
        let id = uuid::Uuid::new_v4();
        let id_text = id.to_string();
        let traceparent = format!("00-{}-{:016x}-01", id.simple(), number + 1);
        serde_json::to_vec(&ByHand {
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
        })
        .unwrap()
    };
    let bare = |number: u64| {
        #[derive(Serialize)]
        struct Structured {
            data: Measured,
        }
        serde_json::to_vec(&Structured { data: measured(number) }).unwrap()
    };
    compare("the same envelope", &server, envelope).await;
    compare("the raw client without envelope", &server, bare).await;
}

/// An event of a backlog.
#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "throughput.backlog")]
struct Backlog {
    number: u64,
    text: String,
}

/// How many events wait when the reading begins.
const BACKLOG: u64 = 40_000;

#[subscribe]
async fn read_backlog(event: &Backlog, State(arrived): State<Arc<Arrived>>) {
    arrived.add(event.number);
}

/// Reads a backlog with the raw client: what has been handled is acknowledged in one go with the next read. Gives
/// events per second.
async fn read_raw(connection: &mut redis::aio::MultiplexedConnection, prefetch: usize) -> f64 {
    #[derive(Deserialize)]
    struct Structured {
        data: Backlog,
    }
    let key = "events:throughput.backlog";
    let start = Instant::now();
    let (mut count, mut done) = (0, Vec::new());
    while count < BACKLOG {
        let mut both = redis::pipe();
        if !done.is_empty() {
            both.cmd("XACK").arg(key).arg("raw").arg(&done).ignore();
        }
        both.cmd("XREADGROUP").arg("GROUP").arg("raw").arg("c").arg("COUNT").arg(prefetch);
        both.arg("STREAMS").arg(key).arg(">");
        let (read,): (redis::streams::StreamReadReply,) =
            both.query_async(connection).await.unwrap();
        done.clear();
        for entry in read.keys.into_iter().flat_map(|stream| stream.ids) {
            let event: Vec<u8> = entry.get("event").unwrap();
            let event: Structured = serde_json::from_slice(&event).unwrap();
            std::hint::black_box(event.data.number);
            done.push(entry.id);
            count += 1;
        }
    }
    redis::cmd("XACK").arg(key).arg("raw").arg(&done).exec_async(connection).await.unwrap();
    BACKLOG as f64 / start.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: run it alone, in a release build"]
async fn throughput_of_streams() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.url()).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    raw.set_response_timeout(Duration::from_secs(10));
    let start = async |prefetch: Option<u32>, arrived: &Arc<Arrived>| {
        let mut config = BusConfig::redis_streams(server.url());
        if let Some(prefetch) = prefetch {
            config = config.prefetch(prefetch);
        }
        let builder = EventBusManager::builder().service("tests").state(Arc::clone(arrived));
        let builder = builder.subscribers("redis::throughput::read_backlog");
        builder.bus("default", config).start().await.unwrap()
    };
    for prefetch in [Some(32), Some(256), Some(1024), None] {
        let (mut by_us, mut by_raw) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            redis::cmd("FLUSHALL").exec_async(&mut raw).await.unwrap();
            let arrived = Arc::new(Arrived::default());
            // The groups are there before the backlog is.
            start(prefetch, &arrived).await.shutdown().await.unwrap();
            let mut create = redis::cmd("XGROUP");
            create.arg("CREATE").arg("events:throughput.backlog").arg("raw").arg("0");
            create.exec_async(&mut raw).await.unwrap();
            let publisher = EventBusManager::builder().service("publisher").subscribers("none");
            let publisher = publisher.bus("default", BusConfig::redis_streams(server.url()));
            let publisher = publisher.start().await.unwrap();
            let event = |number| Backlog { number, text: "x".repeat(160) };
            publisher.default_bus().publish_all((0..BACKLOG).map(event)).await.unwrap();
            publisher.shutdown().await.unwrap();
            by_raw.push(read_raw(&mut raw, prefetch.unwrap_or(256) as usize).await);

            let manager = start(prefetch, &arrived).await;
            arrived.reach(1).await;
            let (start, first) = (Instant::now(), arrived.count.load(SeqCst));
            arrived.reach(BACKLOG).await;
            by_us.push((BACKLOG - first) as f64 / start.elapsed().as_secs_f64());
            manager.shutdown().await.unwrap();
        }
        let (us, raw_rate) = (median(by_us), median(by_raw));
        let label = prefetch.map_or("default".to_owned(), |it| it.to_string());
        println!(
            "streams, prefetch {label}: aury {us:.0}/s, raw {raw_rate:.0}/s, ratio {:.3}",
            us / raw_rate
        );
    }
}
