//! What lies in a queue when its broker is killed. A classic queue then says of all of it that it was delivered before.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aury_events::{QueueType, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use crate::{
    brokers::RabbitServer,
    support::{Place, until},
};

const EVENTS: u32 = 4_000;

/// One by one, each put on record by itself, they would take longer than a minute.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize, Event)]
#[event(name = "backlog.order")]
struct Order {
    number: u32,
}

#[derive(Clone, Default)]
struct Handled(Arc<Mutex<HashSet<u32>>>);

#[subscribe(name = "backlog.mail")]
async fn mail(order: &Order, State(handled): State<Handled>) {
    handled.0.lock().unwrap().insert(order.number);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn what_lay_in_a_queue_when_the_broker_was_killed_is_handled_without_delay() {
    for queue_type in [QueueType::Classic, QueueType::Quorum] {
        let mut server = block_in_place(RabbitServer::lease);
        let place = Place::at(server.url());
        let process = |subscribers, handled: &Handled| {
            let config = place.config().queue_type(queue_type);
            place.process_as(subscribers, config).state(handled.clone())
        };
        let handled = Handled::default();
        // Has the queue made.
        let first = process("backlog.mail", &handled).start().await.unwrap();
        first.shutdown().await.unwrap();
        let publisher = process("none", &handled).start().await.unwrap();
        let orders = (0..EVENTS).map(|number| Order { number });
        publisher.default_bus().publish_all(orders).await.unwrap();
        publisher.shutdown().await.unwrap();
        block_in_place(|| {
            server.kill();
            server.start_again();
        });

        let start = Instant::now();
        let worker = process("backlog.mail", &handled).start().await.unwrap();
        until("all is handled", LIMIT, || handled.0.lock().unwrap().len() == EVENTS as usize).await;
        println!("{queue_type}: {EVENTS} events handled in {:?}", start.elapsed());
        worker.shutdown().await.unwrap();
    }
}
