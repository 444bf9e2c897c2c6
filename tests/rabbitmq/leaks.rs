//! What ends leaves nothing on the broker, nor in the process.

use std::{fs, sync::Arc};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use crate::{
    brokers::RabbitServer,
    support::{Log, Place, SOON, eventually},
};

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "leaks.order")]
struct Order {
    number: u32,
}

#[subscribe(name = "leaks.mail")]
async fn mail(order: &Order, State(log): State<Log>) {
    log.add(order.number.to_string());
}

/// A server of the test's own, whose connections, channels and queues are all ours.
fn listed(server: &RabbitServer, what: &[&str]) -> Vec<String> {
    block_in_place(|| server.ctl(what)).lines().map(str::to_owned).collect()
}

fn channels(server: &RabbitServer) -> usize {
    let listed = listed(server, &["list_connections", "channels"]);
    listed.iter().filter_map(|it| it.trim().parse::<usize>().ok()).sum()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn subscriptions_that_were_made_and_ended_leave_no_channel_and_no_queue() {
    const COUNT: u32 = 100;
    let server = block_in_place(RabbitServer::start);
    let place = Place::at(server.url());
    let events = place.process("none").start().await.unwrap();
    let bus = events.default_bus();
    let log = Log::default();
    let one = async |number: u32| {
        let log = log.clone();
        let taken = move |order: Arc<Order>| {
            log.add(order.number.to_string());
            async {}
        };
        let subscription = bus.subscribe(taken).await.unwrap();
        bus.publish(Order { number }).await.unwrap();
        subscription
    };
    one(0).await.unsubscribe().await;
    let queues = listed(&server, &["list_queues", "name"]).len();
    eventually("channels are closed", SOON, async || channels(&server) <= 6).await;
    let before = channels(&server);
    for number in 1..COUNT {
        one(number).await.unsubscribe().await;
    }
    eventually("nothing is left", SOON, async || {
        channels(&server) <= before && listed(&server, &["list_queues", "name"]).len() <= queues
    })
    .await;
    println!("{before} channels, {queues} queues, before and after");
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn starts_that_fail_leave_no_connection_and_no_descriptor() {
    const COUNT: u32 = 20;
    let server = block_in_place(RabbitServer::start);
    let place = Place::at(server.url());
    block_in_place(|| {
        server.ctl(&["add_user", "publisher", "secret"]);
        server.ctl(&["set_permissions", "publisher", "^corner", "^corner", "^$"]);
    });
    let by = place.by(server.url_with("publisher", "secret", "%2f"));
    let fail = async || {
        let process = by.process("leaks.mail").state(Log::default());
        process.start().await.expect_err("it may not consume");
    };
    fail().await;
    eventually("the first one's are closed", SOON, async || {
        listed(&server, &["list_connections", "pid"]).is_empty()
    })
    .await;
    let before = descriptors();
    for _ in 0..COUNT {
        fail().await;
    }
    eventually("all connections are closed", SOON, async || {
        listed(&server, &["list_connections", "pid"]).is_empty()
    })
    .await;
    // Other tests of this program open and close some of their own.
    eventually("the descriptors, too", SOON, async || descriptors() <= before + 8).await;
}
