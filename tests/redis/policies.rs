//! The options of subscribers on Redis: see `tests/policies`.

use std::time::Duration;

use aury_events::RedisIdempotency;

use crate::{
    brokers::RedisServer,
    rows::{self, Broker},
};

fn pubsub(server: &RedisServer) -> Broker {
    Broker { backend: "redis", url: server.url(), at_least_once: false, shared_work: false }
}

fn streams(server: &RedisServer) -> Broker {
    Broker { backend: "redis-streams", url: server.url(), at_least_once: true, shared_work: true }
}

/// Each function on a server of its own, on both backends.
macro_rules! rows {
    ($($row:ident),* $(,)?) => {
        mod on_pubsub {
            use super::*;
            $(
                #[tokio::test]
                #[ignore = "needs redis-server; tests/run installs it"]
                async fn $row() {
                    let server = RedisServer::start();
                    rows::$row(pubsub(&server)).await;
                }
            )*
        }

        mod on_streams {
            use super::*;
            $(
                #[tokio::test]
                #[ignore = "needs redis-server; tests/run installs it"]
                async fn $row() {
                    let server = RedisServer::start();
                    rows::$row(streams(&server)).await;
                }
            )*
        }
    };
}
rows! {
    a_long_retry_comes_back_in_time_and_is_a_dead_letter_in_the_end,
    a_durable_subscriber_starts_where_delivery_is_at_least_once,
    a_broadcast_reaches_every_process_of_a_service,
    a_batch_gets_full,
    events_of_one_key_are_handled_in_order,
    the_order_of_a_service_is_refused_at_start_up,
    as_many_run_at_a_time_as_the_subscriber_says,
    a_named_subscription_is_made_again_under_its_name,
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_one_process_has_handled_another_one_skips() {
    for broker in [pubsub, streams] {
        let server = RedisServer::start();
        let store = || async { RedisIdempotency::connect(&server.url()).await.unwrap() };
        rows::what_one_process_has_handled_another_one_skips(broker(&server), store).await;
    }
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_was_handled_is_forgotten_in_time_and_an_outage_is_survived() {
    use aury_events::{EventId, IdempotencyKey, IdempotencyStore};
    use aury_events_backends::{EventName, Metadata};

    let mut server = RedisServer::start();
    let store = RedisIdempotency::connect(&server.url()).await.unwrap();
    let store = store.remember_for(Duration::from_millis(300)).key_prefix("shop:");
    let id = EventId::from(std::sync::Arc::from("7"));
    let event = Metadata::received(EventName::from_static("policies.job"), id, "/till");
    let key = IdempotencyKey::new("shop", "mail", &event);
    assert!(!store.is_handled(&key).await.unwrap());
    store.mark_handled(&key).await.unwrap();
    assert!(store.is_handled(&key).await.unwrap());
    assert!(server.ask("KEYS *").unwrap().contains("shop:handled:shop/mail/7 of /till"));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!store.is_handled(&key).await.unwrap());

    server.kill();
    assert!(store.is_handled(&key).await.is_err(), "nobody knows");
    server.start_again();
    let back = async {
        while store.is_handled(&key).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), back).await.expect("it connects again");
}
