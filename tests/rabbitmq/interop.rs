//! Clients that have never heard of the framework: pika, of Python.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use aury_events::{Format, prelude::*};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::{
    brokers::{Python, RabbitServer, succeeds},
    support::{Log, Place},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "interop.order")]
struct Order {
    number: u32,
}

#[subscribe(name = "interop.mail")]
async fn mail(order: &Order, context: Context, State(log): State<Log>) {
    let tenant = context.header("tenant").unwrap_or("nobody");
    log.add(format!("{} of {tenant}", order.number));
}

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rabbitmq/client.py");

fn client(python: &Python, command: &str, place: &Place) -> Command {
    let mut client = python.command();
    client.args([CLIENT, command, &*place.url, &*place.name]).stdin(Stdio::null());
    client
}

/// A process that ends with this value.
struct Reading(Child);

impl Drop for Reading {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server and python3; tests/run installs them"]
async fn pika_publishes_what_we_read_and_reads_what_we_publish() {
    let python = block_in_place(|| Python::with(&["pika==1.3.2"]));
    let place = Place::at(RabbitServer::shared().url());

    let log = Log::default();
    let events = place.process("interop.*").state(log.clone()).start().await.unwrap();
    block_in_place(|| succeeds(client(&python, "publish", &place).output().unwrap()));
    let all = ["1 of acme", "2 of acme", "3 of acme", "4 of acme", "5 of acme", "6 of nobody"];
    assert_eq!(log.reaches(all.len()).await, all);
    let letters = events.default_bus().dead_letters().list().await.unwrap();
    assert!(letters.is_empty(), "{letters:?}");
    events.shutdown().await.unwrap();

    let spawned = client(&python, "read", &place).stdout(Stdio::piped()).spawn();
    let mut reading = Reading(spawned.unwrap());
    let mut lines = BufReader::new(reading.0.stdout.take().expect("it is piped")).lines();
    let mut next = || block_in_place(|| lines.next().expect("it goes on").unwrap());
    assert_eq!(next(), "ready");
    for format in [Format::CloudEvents, Format::Aury] {
        let process = place.process_as("none", place.config().format(format));
        let bus = process.start().await.unwrap().default_bus();
        let id = bus.publish(Order { number: 7 }).header("tenant", "acme").await.unwrap();
        let message: Value = serde_json::from_str(&next()).unwrap();
        let body = &message["body"];
        assert_eq!(message["routing_key"], "interop.order");
        assert_eq!(message["delivery_mode"], 2);
        assert_eq!(message["message_id"], id.to_string());
        assert_eq!((&body["id"], &body["data"]), (&id.to_string().into(), &json!({"number": 7})));
        if format == Format::Aury {
            assert_eq!(message["content_type"], "application/json");
            assert_eq!(body["event_name"], "interop.order");
            assert_eq!(body["metadata"]["tenant"], "acme");
            assert!(body["timestamp"].is_string());
        } else {
            assert_eq!(message["content_type"], "application/cloudevents+json");
            assert_eq!(
                (&body["specversion"], &body["type"]),
                (&"1.0".into(), &"interop.order".into())
            );
            assert_eq!(body["tenant"], "acme");
        }
    }
}
