//! Spans of events that go over a RabbitMQ server.

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

use crate::{
    brokers::RabbitServer,
    seen_spans::{Spans, breaches, listen},
    support::{Place, SOON, until},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "spans.order_created")]
struct OrderCreated;

#[subscribe(name = "spans.mail")]
async fn mail(_: &OrderCreated) {}

#[tokio::test]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn spans_are_those_of_the_conventions() {
    let place = Place::at(RabbitServer::shared().url());
    let spans = Spans::default();
    let _listening = listen(&spans.subscriber(LevelFilter::DEBUG));
    let manager = place.process("spans.*").start().await.unwrap();
    manager.default_bus().publish(OrderCreated).await.unwrap();
    until("the event is settled", SOON, || spans.of("settle").len() == 1).await;
    manager.shutdown().await.unwrap();

    assert_eq!((spans.of("publish").len(), spans.of("process").len()), (1, 1));
    let exchange = &place.name;
    for span in spans.all().into_iter().filter(|span| span.fields.contains_key("otel.kind")) {
        assert_eq!(breaches(&span), [""; 0], "{span:?}");
        assert!(span.is_closed, "{span:?}");
        assert_eq!(span.field("messaging.system"), "rabbitmq");
        let queue = if span.name == "publish" {
            String::new()
        } else {
            format!(":{}", place.queue("spans.mail"))
        };
        let destination = format!("{exchange}:spans.order_created{queue}");
        assert_eq!(span.field("messaging.destination.name"), destination);
        assert_eq!(span.field("server.address"), "127.0.0.1");
    }
}

#[cfg(feature = "opentelemetry")]
#[test]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
fn a_trace_crosses_processes() {
    use crate::span_processes::{Bus, a_trace_crosses_processes};

    let server = RabbitServer::shared();
    server.add_virtual_host("traced");
    let url = server.url_with("guest", "guest", "traced");
    a_trace_crosses_processes(&Bus { backend: "rabbitmq", url, has_delays: true });
}
