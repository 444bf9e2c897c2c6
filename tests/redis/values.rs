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
