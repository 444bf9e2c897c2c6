//! Names on the server: no key of one thing is that of another.

use aury_events::{BusConfig, EventBusManager};
use aury_events_backends::{Backend, redis::settings::KEY_PREFIX};

use crate::{
    backends::{Server, ack, close, event, fail_next, letters, next, publish, subscribed, to},
    brokers::RedisServer,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn an_event_may_be_called_like_anything_of_the_framework() {
    const NAMES: [&str; 6] =
        ["dead-letters", "streams", "subscribers", "delayed", "retry", "set-aside"];
    let (_server, [backend]) = Server::with_backends().await;
    let mut mail = subscribed(&backend, to("order", "mail")).await;
    publish(&backend, "order", 0..3).await;
    for _ in 0..3 {
        fail_next(&mut mail).await;
    }
    for name in NAMES {
        let mut consumer = subscribed(&backend, to(name, "audit")).await;
        publish(&backend, name, 7..8).await;
        assert_eq!(
            ack(next(&mut consumer).await).await,
            7,
            "{name}: its own event and nothing else"
        );
        backend.in_flight().settled().await;
    }
    assert_eq!(letters(&backend).await.len(), 3);
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_service_and_its_subscriber_are_not_mistaken_for_others() {
    let server = Server::start();
    let one = server.try_backend("shop", |_| ()).await.unwrap();
    let two = server.try_backend("shop.eu", |_| ()).await.unwrap();
    let mut spec = to("order", "mail");
    spec.service = "shop.eu".into();
    let mut mail = subscribed(&two, spec).await;
    let mut eu_mail = subscribed(&one, to("order", "eu.mail")).await;
    publish(&one, "order", 0..1).await;
    fail_next(&mut mail).await;
    assert_eq!(ack(next(&mut eu_mail).await).await, 0, "both get it");
    let mut theirs = one.dead_letters(&["eu.mail".into()]).await.unwrap();
    assert!(theirs.next_page().await.unwrap().is_empty());
    assert_eq!(letters(&two).await.len(), 1);
    close([&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_prefix_that_leads_to_the_keys_of_another_is_refused_with_one_that_does_not() {
    let server = RedisServer::start();
    for prefix in ["events", "events::", ":"] {
        for config in [BusConfig::redis(server.url()), BusConfig::redis_streams(server.url())] {
            let builder = EventBusManager::builder().service("shop").subscribers("none");
            let config = config.key_prefix(prefix);
            let error = builder.bus("default", config).start().await.unwrap_err();
            let error = format!("{:#}", anyhow::Error::from(error));
            assert!(error.contains(&format!("`{prefix}`")), "{error}");
            assert!(error.contains("`events:`"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn buses_of_different_prefixes_share_nothing() {
    let server = Server::start();
    let with = async |prefix: &'static str| {
        server.backend_with(|config| config.set(&KEY_PREFIX, prefix).unwrap()).await
    };
    let buses = [with("").await, with("a:").await, with("a:b:").await];
    let mut subscribers = Vec::new();
    for bus in &buses {
        subscribers.push(subscribed(bus, to("streams", "mail")).await);
    }
    for (number, bus) in (0..).zip(&buses) {
        bus.publish(event("streams", number)).await.unwrap();
    }
    for (number, subscriber) in (0..).zip(&mut subscribers) {
        assert_eq!(ack(next(subscriber).await).await, number);
    }
    for bus in buses {
        bus.in_flight().settled().await;
        bus.close().await.unwrap();
    }
}
