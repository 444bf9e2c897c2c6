//! Beside the raw client, interleaved in one run:
//! `cargo test --release -p aury-events-tests --features rabbitmq --test rabbitmq throughput -- --ignored --nocapture`.
//!
//! Both sides give the same guarantees: persistent, confirmed before the publisher counts it as published, acknowledged
//! after it was handled. Both hold as much in flight. The raw client acknowledges one by one, as one writes it by hand,
//! and all at once when half of its prefetch is handled, as one writes it to be fast.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aury_events::{QueueType, prelude::*};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, ExchangeKind,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ExchangeDeclareOptions, QueueBindOptions,
    },
    types::FieldTable,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, task::block_in_place};

use crate::{
    brokers::{Amqp, RabbitServer},
    support::Place,
};

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "throughput.measured")]
struct Measured {
    number: u64,
    text: String,
}

#[subscribe(name = "throughput.measured")]
async fn measured_by_us(event: &Measured, State(arrived): State<Arc<Arrived>>) {
    arrived.add(event.number);
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

#[derive(Deserialize)]
struct Structured {
    data: Measured,
}

const EVENTS: u64 = 30_000;
const CHUNK: u64 = 1_000;
const ROUNDS: usize = 5;
/// How many events may be under way, so that queues stay short.
const WINDOW: u64 = 4_000;

fn measured(number: u64) -> Measured {
    Measured { number, text: "x".repeat(160) }
}

/// The same attributes as an envelope has, each made anew for the event.
fn by_hand(number: u64) -> Vec<u8> {
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
struct Arrived {
    count: AtomicU64,
    progress: Notify,
}

impl Arrived {
    fn add(&self, number: u64) {
        std::hint::black_box(number);
        let count = self.count.fetch_add(1, SeqCst) + 1;
        if count.is_multiple_of(500) {
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

/// The raw client: a queue with a consumer that counts.
async fn consume_raw(
    amqp: &Amqp,
    place: &Place,
    queue_type: QueueType,
    prefetch: u16,
    batch: u64,
) -> Arc<Arrived> {
    let (exchange, queue) = (raw_name(place, batch), raw_name(place, batch));
    let channel = amqp.channel();
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let none = FieldTable::default;
    let kind = ExchangeKind::Topic;
    channel.exchange_declare((&*exchange).into(), kind, durable, none()).await.unwrap();
    amqp.declare(&queue, queue_type.as_str()).await;
    let key = "throughput.measured".into();
    let bound = QueueBindOptions::default();
    channel.queue_bind((&*queue).into(), (&*exchange).into(), key, bound, none()).await.unwrap();
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.unwrap();
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume((&*queue).into(), "raw".into(), options, none()).await;
    let mut consumer = consumer.unwrap();
    let arrived = Arc::<Arrived>::default();
    let counts = Arc::clone(&arrived);
    tokio::spawn(async move {
        let mut unacked = 0;
        while let Some(delivery) = consumer.next().await {
            // What every consumer does: it looks into the event.
            let delivery = delivery.unwrap();
            let event: Structured = serde_json::from_slice(&delivery.data).unwrap();
            counts.add(event.data.number);
            unacked += 1;
            // What is left of a run is acknowledged with the next one.
            if unacked == batch {
                unacked = 0;
                delivery.ack(BasicAckOptions { multiple: batch > 1 }).await.unwrap();
            }
        }
    });
    arrived
}

/// Publishes a chunk by the raw client, pipelined, and waits until all is confirmed.
async fn publish_raw(amqp: &Amqp, place: &Place, batch: u64, first: u64) {
    let exchange = raw_name(place, batch);
    let mut confirms = Vec::with_capacity(CHUNK as usize);
    for number in first..first + CHUNK {
        let body = by_hand(number);
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/cloudevents+json".into());
        let sent = amqp.channel().basic_publish(
            (&*exchange).into(),
            "throughput.measured".into(),
            BasicPublishOptions { mandatory: true, ..Default::default() },
            &body,
            properties,
        );
        confirms.push(sent.await.unwrap());
    }
    for confirm in confirms {
        assert!(confirm.await.unwrap().is_ack());
    }
}

fn raw_name(place: &Place, batch: u64) -> String {
    format!("{}-raw-{batch}", place.name)
}

async fn compare(server: &RabbitServer, queue_type: QueueType, prefetch: u16) {
    let place = Place::at(server.url());
    let config = || place.config().queue_type(queue_type).prefetch(prefetch.into());
    let ours = Arc::<Arrived>::default();
    let consuming = place.process_as("throughput.*", config()).state(Arc::clone(&ours));
    let consuming = consuming.start().await.unwrap();
    let bus = place.process_as("none", config()).start().await.unwrap().default_bus();

    // Connections of their own for publishing and consuming, on either side.
    let (publishing, raw, batching) = (
        Amqp::connect(&server.url()).await,
        Amqp::connect(&server.url()).await,
        Amqp::connect(&server.url()).await,
    );
    let half = u64::from(prefetch / 2);
    let one_by_one = consume_raw(&raw, &place, queue_type, prefetch, 1).await;
    let in_batches = consume_raw(&batching, &place, queue_type, prefetch, half).await;

    let (mut by_us, mut by_raw, mut by_batches) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let publish = async |first| publish_raw(&publishing, &place, 1, first).await;
        by_raw.push(run(&one_by_one, publish).await);
        let publish = async |first| {
            bus.publish_all((first..first + CHUNK).map(measured)).await.unwrap();
        };
        by_us.push(run(&ours, publish).await);
        let publish = async |first| publish_raw(&publishing, &place, half, first).await;
        by_batches.push(run(&in_batches, publish).await);
    }
    let (us, one, batch) = (median(by_us), median(by_raw), median(by_batches));
    println!(
        "{queue_type}, prefetch {prefetch}: aury {us:.0}/s; raw with an ack each {one:.0}/s, ratio {:.3}; raw with an ack \
         every {half} {batch:.0}/s, ratio {:.3}",
        us / one,
        us / batch
    );
    consuming.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: run it alone, in a release build"]
async fn throughput() {
    let server = block_in_place(RabbitServer::shared);
    for prefetch in [32, 256] {
        for queue_type in [QueueType::Quorum, QueueType::Classic] {
            compare(server, queue_type, prefetch).await;
        }
    }
}
