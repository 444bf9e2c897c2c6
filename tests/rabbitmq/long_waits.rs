//! Deliveries that wait in the process longer than the broker lets a consumer hold them.

use aury_events::{QueueType, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use crate::{
    brokers::{Amqp, RabbitServer},
    support::{Log, Place, SOON},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "waits.order")]
struct Order {
    #[event(key)]
    customer: u32,
    number: u32,
}

const MAIL: &str = "waits.mail";

#[subscribe(name = "waits.mail", ordered, concurrency = 2, retry(attempts = 2, delay = "7s"))]
async fn mail(order: &Order, context: Context, State(log): State<Log>) -> Result<(), &'static str> {
    log.add(format!("{} attempt {}", order.number, context.attempt()));
    if order.number == 0 && context.attempt() == 1 { Err("not yet") } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn what_waits_longer_than_the_broker_allows_is_handled_once_and_in_order() {
    let start = || RabbitServer::start_with("consumer_timeout = 2000");
    let server = block_in_place(start);
    // How often the broker looks, which no setting says.
    let look = "application:set_env(rabbit, channel_tick_interval, 500).";
    block_in_place(|| server.ctl(&["eval", look]));
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let place = Place::at(server.url());
        let log = Log::default();
        let process = place.process_as(MAIL, place.config().queue_type(queue_type));
        let events = process.state(log.clone()).start().await.unwrap();
        let bus = events.default_bus();
        let orders = (0..6).map(|number| Order { customer: 1, number });
        bus.publish_all(orders).await.unwrap();
        log.reaches(7).await;
        tokio::time::timeout(SOON, bus.settled()).await.unwrap();
        let expected = ["0 attempt 1", "0 attempt 2", "1 attempt 1", "2 attempt 1", "3 attempt 1"];
        assert_eq!(log.entries()[..5], expected);
        assert_eq!(log.entries().len(), 7, "{:?}", log.entries());
        let amqp = Amqp::connect(&server.url()).await;
        assert_eq!(amqp.count(&place.dead(MAIL)).await, 0);
        assert_eq!(amqp.count(&place.queue(MAIL)).await, 0);
        events.shutdown().await.unwrap();
    }
}
