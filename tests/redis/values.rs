//! Odd values, on Redis: see `tests/values`.

use aury_events::prelude::*;

use crate::{brokers::RedisServer, odd_values as rows};

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_cannot_come_back_is_refused_and_what_can_arrives() {
    for config in [BusConfig::redis, BusConfig::redis_streams] {
        let server = RedisServer::start();
        rows::what_cannot_come_back_is_refused_and_what_can_arrives(config(server.url())).await;
    }
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_strict_bus_proves_each_event() {
    for config in [BusConfig::redis, BusConfig::redis_streams] {
        let server = RedisServer::start();
        rows::a_strict_bus_proves_each_event(config(server.url())).await;
    }
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn data_of_any_type_is_given_to_any_event() {
    for (config, command) in [
        (BusConfig::redis as fn(String) -> BusConfig, &["PUBLISH", "events:values.foreign"][..]),
        (BusConfig::redis_streams, &["XADD", "events:values.foreign", "*", "event"]),
    ] {
        let server = RedisServer::start();
        let client = redis::Client::open(server.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        // Patterns find the streams of other programs there.
        let known = redis::cmd("SADD").arg("events::streams").arg("values.foreign").to_owned();
        known.query_async::<i64>(&mut connection.clone()).await.unwrap();
        let send = async |message: String| {
            let mut sent = redis::cmd(command[0]);
            sent.arg(&command[1..]).arg(message);
            sent.query_async::<redis::Value>(&mut connection.clone()).await.unwrap();
        };
        rows::data_of_any_type_is_given_to_any_event(config(server.url()), send).await;
    }
}
