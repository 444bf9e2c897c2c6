//! Users who may not do everything, and what a start says of it.

use std::{env, process::Command, time::Duration};

use aury_events::prelude::*;
use aury_events_backends::error::WithCauses;
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use crate::{
    brokers::RabbitServer,
    support::{Log, Place},
};

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "rights.order")]
struct Order {
    number: u32,
}

#[subscribe(name = "rights.mail", retry(attempts = 2, delay = "1100ms"))]
async fn mail(order: &Order, context: Context, State(log): State<Log>) -> Result<(), &'static str> {
    log.add(format!("{} attempt {}", order.number, context.attempt()));
    if order.number == 2 && context.attempt() == 1 { Err("not at first") } else { Ok(()) }
}

/// A user with the rights to configure, to write and to read what matches; gives the place by that user.
fn user(server: &RabbitServer, place: &Place, name: &str, rights: [&str; 3]) -> Place {
    let [configure, write, read] = rights;
    server.ctl(&["add_user", name, "secret"]);
    server.ctl(&["set_permissions", name, configure, write, read]);
    place.by(server.url_with(name, "secret", "%2f"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_user_who_may_only_write_to_an_exchange_that_exists_publishes() {
    let server = RabbitServer::shared();
    let place = Place::at(server.url());
    let log = Log::default();
    let events = place.process("rights.mail").state(log.clone()).start().await.unwrap();
    let exchange = format!("^{}$", place.name);
    let writer = block_in_place(|| user(server, &place, "rights-writer", ["^$", &exchange, "^$"]));
    let writing = writer.process("none").start().await.unwrap();
    writing.default_bus().publish(Order { number: 1 }).await.unwrap();
    log.reaches(1).await;
    let health = writing.default_bus().health();
    assert!(health.is_up, "{health:?}");
    writing.shutdown().await.unwrap();
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_start_says_which_right_is_missing_for_what() {
    let server = RabbitServer::shared();
    let place = Place::at(server.url());
    let (queue, exchange) = (place.queue("rights.mail"), place.name.clone());
    let refused = async |name: &str, rights: [&str; 3]| {
        let by = block_in_place(|| user(server, &place, name, rights));
        let process = by.process("rights.mail").state(Log::default());
        let error = process.start().await.expect_err("it does not start");
        let text = WithCauses(&error).to_string();
        println!("{text}\n");
        text
    };
    let text = refused("rights-nothing", ["^$", "^$", "^$"]).await;
    for part in [&*exchange, "ACCESS_REFUSED", "configure", "does not exist"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Somebody declares the exchange.
    place.process("none").start().await.unwrap().shutdown().await.unwrap();
    let text = refused("rights-no-queue", ["^$", ".*", ".*"]).await;
    for part in [&*queue, "ACCESS_REFUSED", "configure"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = refused("rights-no-binding", [".*", ".*", "/"]).await;
    for part in [&*queue, &*exchange, "ACCESS_REFUSED", "bind", "read the exchange"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// In the child process: where to connect to.
const URL: &str = "AURY_EVENTS_TEST_QUIET_URL";

/// What is logged is settled per process, so the client is one of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_healthy_run_and_a_shutdown_log_no_error() {
    if let Ok(url) = env::var(URL) {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .with_writer(std::io::stderr)
            .init();
        healthy_run(&Place::at(url)).await;
        return;
    }
    let url = RabbitServer::shared().url();
    let output = Command::new(env::current_exe().unwrap())
        .args(["rights::a_healthy_run_and_a_shutdown_log_no_error", "--exact", "--ignored"])
        .env(URL, url)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, log) = (text(&output.stdout), text(&output.stderr));
    assert!(out.contains("1 passed"), "{out}{log}");
    assert!(!log.contains("ERROR") && !log.contains("lapin"), "{log}");
}

async fn healthy_run(place: &Place) {
    let log = Log::default();
    let events = place.process("rights.mail").state(log.clone()).start().await.unwrap();
    let bus = events.default_bus();
    for number in 0..4 {
        bus.publish(Order { number }).await.unwrap();
    }
    bus.publish(Order { number: 4 }).delay(Duration::from_millis(300)).await.unwrap();
    log.reaches(6).await;
    assert!(bus.health().is_up);
    events.shutdown().await.unwrap();
}
