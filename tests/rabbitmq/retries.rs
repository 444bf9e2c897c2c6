//! Long waits between attempts are the broker's.

use std::time::Duration;

use aury_events::{QueueType, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::{task::block_in_place, time::timeout};

use crate::{
    brokers::{Amqp, RabbitServer},
    support::{Log, Place, SOON, eventually, until},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "retries.job")]
struct Job {
    number: u32,
}

const DELAY: Duration = Duration::from_secs(4);

#[subscribe(name = "retries.job", retry(attempts = 3, delay = "4s"))]
async fn job(job: &Job, context: Context, State(log): State<Log>) -> Result<(), &'static str> {
    log.add(format!("{} attempt {}", job.number, context.attempt()));
    if context.attempt() < 3 { Err("not yet") } else { Ok(()) }
}

/// A service with that type of queue.
struct Service {
    place: Place,
    queue_type: QueueType,
    log: Log,
}

impl Service {
    async fn process(&self) -> EventBusManager {
        let config = self.place.config().queue_type(self.queue_type);
        let process = self.place.process_as("retries.job", config).state(self.log.clone());
        process.start().await.unwrap()
    }

    async fn settled(&self, events: &EventBusManager) {
        timeout(SOON, events.default_bus().settled()).await.expect("nothing is in flight");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_long_retry_survives_broker_and_process_and_its_attempts_travel() {
    let mut server = block_in_place(RabbitServer::lease);
    let services = [QueueType::Quorum, QueueType::Classic].map(|queue_type| {
        let place = Place::at(server.url());
        Service { place, queue_type, log: Log::default() }
    });
    for service in &services {
        let events = service.process().await;
        events.default_bus().publish(Job { number: 1 }).await.unwrap();
        service.log.reaches(1).await;
        // It is the broker's now: neither its process nor that queue has it.
        service.settled(&events).await;
        let queue = service.place.queue("retries.job");
        assert_eq!(Amqp::connect(&server.url()).await.count(&queue).await, 0);
        events.shutdown().await.unwrap();
    }
    block_in_place(|| {
        server.kill();
        server.start_again();
    });
    for service in &services {
        let events = service.process().await;
        // A quorum queue that hands on what has waited takes its time after a restart, up to minutes.
        until("all attempts", SOON * 8, || service.log.entries().len() >= 3).await;
        let attempts = service.log.reaches(3).await;
        assert_eq!(attempts, ["1 attempt 1", "1 attempt 2", "1 attempt 3"]);
        let times = service.log.times();
        for (before, after) in times.iter().zip(&times[1..]) {
            let waited = *after - *before;
            assert!(waited >= DELAY - Duration::from_millis(100), "{waited:?}");
            println!("{}: waited {waited:?}", service.queue_type);
        }
        service.settled(&events).await;
        events.shutdown().await.unwrap();
        let amqp = Amqp::connect(&server.url()).await;
        for queue in [service.place.queue("retries.job"), service.place.dead("retries.job")] {
            eventually("nothing is left", SOON, async || amqp.count(&queue).await == 0).await;
        }
    }
}
