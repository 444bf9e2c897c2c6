//! Events that no queue is there for.

use aury_events::{Unroutable, prelude::*};
use aury_events_backends::error::WithCauses;
use serde::{Deserialize, Serialize};

use crate::{
    brokers::RabbitServer,
    support::{Log, Place},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "unroutable.order")]
struct Order {
    number: u32,
}

#[subscribe(name = "unroutable.mail")]
async fn mail(order: &Order, State(log): State<Log>) {
    log.add(order.number.to_string());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn an_event_for_nobody_is_an_error_if_that_is_asked_for() {
    let place = Place::at(RabbitServer::shared().url());
    let publisher = async |unroutable| {
        let process = place.process_as("none", place.config().unroutable(unroutable));
        process.start().await.unwrap().default_bus()
    };
    let strict = publisher(Unroutable::Error).await;
    let order = || Order { number: 1 };
    let error = WithCauses(&strict.publish(order()).await.unwrap_err()).to_string();
    assert!(error.contains("unroutable.order"), "{error}");
    println!("{error}");
    let error = strict.publish_all([order(), order()]).await.unwrap_err();
    assert!(error.published().is_empty(), "{error:?}");
    for lenient in [Unroutable::Warn, Unroutable::Ignore] {
        publisher(lenient).await.publish(order()).await.unwrap();
    }

    let log = Log::default();
    let events = place.process("unroutable.mail").state(log.clone()).start().await.unwrap();
    strict.publish(order()).await.unwrap();
    strict.publish_all([order(), order()]).await.unwrap();
    assert_eq!(log.reaches(3).await, ["1"; 3]);
    events.shutdown().await.unwrap();
    strict.publish(order()).await.expect("its queue is there, whether the process runs or not");
}
