//! Beside the raw client, interleaved in one run:
//! `cargo test --release -p aury-events-tests --features rabbitmq --test rabbitmq throughput -- --ignored --nocapture`.
//!
//! Both sides give the same guarantees: persistent, confirmed before the publisher counts it as published, acknowledged
//! after it was handled. Both hold as much in flight. The raw client acknowledges one by one, as one writes it by hand,
//! and all at once when half of its prefetch is handled, as one writes it to be fast.

use std::sync::Arc;

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
use tokio::task::block_in_place;

use crate::{
    brokers::{Amqp, RabbitServer},
    support::Place,
    throughput_loop::{Arrived, Load, Measured, Structured, by_hand, measured, median},
};

#[subscribe(name = "throughput.measured")]
async fn measured_by_us(event: &Measured, State(arrived): State<Arc<Arrived>>) {
    arrived.add(event.number);
}

const ROUNDS: usize = 5;
const LOAD: Load = Load { events: 30_000, chunk: 1_000, window: 4_000 };

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
            let event: Structured<Measured> = serde_json::from_slice(&delivery.data).unwrap();
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
    let mut confirms = Vec::with_capacity(LOAD.chunk as usize);
    for number in first..first + LOAD.chunk {
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
        by_raw.push(LOAD.run(&one_by_one, publish).await);
        let publish = async |first| {
            bus.publish_all((first..first + LOAD.chunk).map(measured)).await.unwrap();
        };
        by_us.push(LOAD.run(&ours, publish).await);
        let publish = async |first| publish_raw(&publishing, &place, half, first).await;
        by_batches.push(LOAD.run(&in_batches, publish).await);
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
