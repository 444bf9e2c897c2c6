//! Which buses share events: those that are told to, and no others.

use std::time::Duration;

use aury_events::{Format, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    brokers::RedisServer,
    support::{Numbers, SOON, until},
};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "scopes.order")]
struct Order {
    number: u64,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "scopes.failing")]
struct Failing {
    number: u64,
}

/// Fails the first time.
#[subscribe(name = "scopes.fails_once")]
async fn fails_once(event: &Failing, State(numbers): State<Numbers>) -> Result<(), String> {
    if !numbers.has(0) {
        numbers.add(0);
        return Err("not yet".to_owned());
    }
    numbers.add(event.number);
    Ok(())
}

/// A bus of that name, and what it hears of orders, by name or by a pattern for everything.
async fn bus(name: &str, config: BusConfig) -> (EventBusManager, EventBus, Numbers) {
    let builder = EventBusManager::builder().service(name).subscribers("none");
    let manager = builder.bus(name, config).start().await.unwrap();
    let bus = manager.get_instance(name).unwrap();
    let numbers = Numbers::default();
    let heard = numbers.clone();
    bus.subscribe_pattern("#", move |event: AnyEvent| {
        heard.add(event.decode::<Order>().expect("an order").number);
        async {}
    })
    .await
    .unwrap();
    (manager, bus, numbers)
}

/// Each bus publishes a number; gives what each has heard.
async fn heard(buses: &[(EventBusManager, EventBus, Numbers)]) -> Vec<Vec<u64>> {
    for (number, (_, bus, _)) in (0..).zip(buses) {
        bus.publish(Order { number }).await.unwrap();
    }
    for (number, (_, _, numbers)) in (0..).zip(buses) {
        until("each hears itself", SOON, || numbers.has(number)).await;
    }
    // What comes from others takes no longer than that.
    sleep(Duration::from_millis(700)).await;
    buses.iter().map(|(_, _, numbers)| numbers.all()).collect()
}

fn in_database(server: &RedisServer, database: u32) -> String {
    format!("redis://{}/{database}", server.address())
}

const BOTH: [fn(String) -> BusConfig; 2] = [BusConfig::redis, BusConfig::redis_streams];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn databases_and_named_buses_are_apart() {
    for config in BOTH {
        let server = RedisServer::start();
        let buses = [
            bus("default", config(in_database(&server, 0))).await,
            bus("default", config(in_database(&server, 1))).await,
            bus("domain", config(in_database(&server, 0))).await,
            bus("domain", config(in_database(&server, 1))).await,
            bus("other", config(in_database(&server, 0))).await,
        ];
        assert_eq!(heard(&buses).await, [[0], [1], [2], [3], [4]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_prefix_that_is_given_and_the_format_of_others_are_to_the_letter() {
    for (config, database) in [(BOTH[0], 1), (BOTH[1], 0)] {
        let server = RedisServer::start();
        let given = |database| config(in_database(&server, database)).key_prefix("shop:");
        let buses = [bus("default", given(0)).await, bus("domain", given(database)).await];
        assert_eq!(heard(&buses).await, [[0, 1], [0, 1]]);
        let theirs = |database| config(in_database(&server, database)).format(Format::Aury);
        let buses = [bus("default", theirs(0)).await, bus("domain", theirs(database)).await];
        assert_eq!(heard(&buses).await, [[0, 1], [0, 1]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn dead_letters_come_back_in_their_own_database() {
    let server = RedisServer::start();
    let mut all = Vec::new();
    for database in [0, 1] {
        let config = BusConfig::redis(in_database(&server, database));
        let numbers = Numbers::default();
        let builder = EventBusManager::builder().service("scopes").subscribers("scopes.*");
        let builder = builder.state(numbers.clone()).bus("default", config);
        let manager = builder.start().await.unwrap();
        let bus = manager.default_bus();
        all.push((manager, bus, numbers));
    }
    all[1].1.publish(Failing { number: 7 }).await.unwrap();
    let start = std::time::Instant::now();
    while all[1].1.dead_letters().list().await.unwrap().is_empty() {
        assert!(start.elapsed() < SOON, "no dead letter");
    }
    assert_eq!(all[1].1.dead_letters().replay_all().await.unwrap(), 1);
    until("it comes back", SOON, || all[1].2.has(7)).await;
    assert_eq!(all[0].2.count(), 0);
}
