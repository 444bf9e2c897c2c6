//! Spans of events that go over a Redis server.

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

use crate::{
    brokers::RedisServer,
    seen_spans::{Spans, breaches, listen},
    support::{SOON, until},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "spans.order_created")]
struct OrderCreated;

#[subscribe(name = "spans.mail")]
async fn mail(_: &OrderCreated) {}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn spans_are_those_of_the_conventions() {
    let server = RedisServer::start();
    for config in [BusConfig::redis(server.url()), BusConfig::redis_streams(server.url())] {
        let spans = Spans::default();
        let _listening = listen(&spans.subscriber(LevelFilter::DEBUG));
        let builder = EventBusManager::builder().service("shop").subscribers("spans.*");
        let manager = builder.bus("default", config).start().await.unwrap();
        manager.default_bus().publish(OrderCreated).await.unwrap();
        until("the event is settled", SOON, || spans.of("settle").len() == 1).await;
        manager.shutdown().await.unwrap();

        assert_eq!((spans.of("publish").len(), spans.of("process").len()), (1, 1));
        let ours = spans.all().into_iter().filter(|span| span.fields.contains_key("otel.kind"));
        for span in ours {
            assert_eq!(breaches(&span), [""; 0], "{span:?}");
            assert!(span.is_closed, "{span:?}");
            assert_eq!(span.field("messaging.system"), "redis");
            assert_eq!(span.field("messaging.destination.name"), "events:spans.order_created");
            assert_eq!(span.field("server.address"), "127.0.0.1");
        }
    }
}

#[cfg(feature = "opentelemetry")]
mod across_processes {
    use super::RedisServer;
    use crate::span_processes::{Bus, a_trace_crosses_processes};

    #[test]
    #[ignore = "needs redis-server; tests/run installs it"]
    fn by_pubsub() {
        let url = RedisServer::start();
        a_trace_crosses_processes(&Bus { backend: "redis", url: url.url(), has_delays: false });
    }

    #[test]
    #[ignore = "needs redis-server; tests/run installs it"]
    fn by_streams() {
        let server = RedisServer::start();
        let (backend, url) = ("redis-streams", server.url());
        a_trace_crosses_processes(&Bus { backend, url, has_delays: true });
    }
}
