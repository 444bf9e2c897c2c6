//! Beside the raw client, interleaved in one run: `cargo test --release --test redis throughput -- --ignored --nocapture`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aury_events::prelude::*;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::{
    brokers::RedisServer,
    throughput_loop::{Arrived, Load, Measured, Structured, by_hand, measured, median},
};

const ROUNDS: usize = 7;
const LOAD: Load = Load { events: 200_000, chunk: 2_000, window: 12_000 };

/// `wire` gives the message that the raw client sends for an event.
async fn compare(label: &str, server: &RedisServer, wire: impl Fn(u64) -> Vec<u8>) {
    let manager = EventBusManager::builder()
        .service("tests")
        .subscribers("none")
        .bus("default", BusConfig::redis(server.url()).queue_capacity(LOAD.window as usize + 4096))
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
            let event: Structured<Measured> =
                serde_json::from_slice(message.get_payload_bytes()).unwrap();
            counts.add(event.data.number);
        }
    });

    let (mut by_us, mut by_raw) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        by_raw.push(
            LOAD.run(&theirs, async |first| {
                for start in (first..first + LOAD.chunk).step_by(256) {
                    let mut pipeline = redis::pipe();
                    for number in start..(start + 256).min(first + LOAD.chunk) {
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
            LOAD.run(&ours, async |first| {
                bus.publish_all((first..first + LOAD.chunk).map(measured)).await.unwrap();
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
    let bare = |number| serde_json::to_vec(&Structured { data: measured(number) }).unwrap();
    compare("the same envelope", &server, by_hand).await;
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
            let event: Structured<Backlog> = serde_json::from_slice(&event).unwrap();
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
            let (start, first) = (Instant::now(), arrived.count());
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
