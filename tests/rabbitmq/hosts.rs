//! A URL with several hosts, and a cluster that loses one of them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::{task::block_in_place, time::sleep};

use crate::{
    brokers::{RabbitCluster, RabbitServer},
    support::{Place, SOON, until},
};

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "hosts.order")]
struct Order {
    number: u32,
}

/// How often each order was handled.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<HashMap<u32, u32>>>);

impl Handled {
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[subscribe(name = "hosts.order", concurrency = 16, retry(attempts = 2, delay = "2s"))]
async fn order(
    order: &Order,
    context: Context,
    State(handled): State<Handled>,
) -> Result<(), &'static str> {
    if order.number.is_multiple_of(10) && context.attempt() == 1 {
        return Err("not at first");
    }
    *handled.0.lock().unwrap().entry(order.number).or_default() += 1;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn hosts_are_tried_in_turn() {
    let server = RabbitServer::shared();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("amqp://guest:guest@{nobody},{},{nobody}/%2f", server.address());
    let place = Place::at(url);
    let handled = Handled::default();
    let events = place.process("hosts.order").state(handled.clone()).start().await.unwrap();
    events.default_bus().publish(Order { number: 1 }).await.unwrap();
    until("the order", SOON, || handled.len() == 1).await;
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_cluster_that_loses_the_node_of_our_connections_under_load_loses_no_event() {
    let mut cluster = block_in_place(|| RabbitCluster::start(3));
    let place = Place::at(cluster.url());
    let handled = Handled::default();
    let events = place.process("hosts.order").state(handled.clone()).start().await.unwrap();
    let bus = events.default_bus();
    let stop = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut confirmed = Vec::new();
            let mut number = 0;
            while !stop.load(SeqCst) {
                let next =
                    bus.publish_all((number..number + 20).map(|number| Order { number })).await;
                let done = match next {
                    Ok(ids) => ids.len(),
                    Err(error) => error.published().len(),
                };
                confirmed.extend(number..number + done as u32);
                number += 20;
                sleep(Duration::from_millis(5)).await;
            }
            confirmed
        }
    });
    until("some orders", SOON, || handled.len() > 300).await;
    // All connections are with the first host.
    block_in_place(|| cluster.kill(0));
    let before = handled.len();
    until("more orders, by another node", SOON * 2, || handled.len() > before + 500).await;
    stop.store(true, SeqCst);
    let confirmed = publishing.await.unwrap();
    let missing = || {
        let handled = handled.0.lock().unwrap();
        confirmed.iter().filter(|number| !handled.contains_key(number)).count()
    };
    // A queue that hands on what has waited takes its time when its leader was lost.
    until("every confirmed order", SOON * 8, || missing() == 0).await;
    let most = *handled.0.lock().unwrap().values().max().unwrap();
    println!("{} confirmed, handled {most} times at most", confirmed.len());
    events.shutdown().await.unwrap();
}
