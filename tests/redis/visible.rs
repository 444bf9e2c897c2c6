//! What goes wrong is said, where it can be seen, and not all the time.

use std::{net::TcpListener, time::Duration};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    brokers::{RedisOptions, RedisServer, make_certificates},
    support::{Logged, Numbers, SOON, until},
};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "visible.order")]
struct Order {
    number: u64,
    text: String,
}

fn order(number: u64) -> Order {
    Order { number, text: String::new() }
}

#[subscribe(name = "visible.mail")]
async fn mail(order: &Order, State(numbers): State<Numbers>) {
    if order.number < 1000 {
        // Slower than events come.
        sleep(Duration::from_millis(5)).await;
    }
    numbers.add(order.number);
}

#[subscribe(name = "visible.idle", pattern = "nothing.#")]
async fn idle(_: &AnyEvent) {}

async fn start(config: BusConfig) -> Result<(EventBusManager, EventBus, Numbers), String> {
    let numbers = Numbers::default();
    let manager = EventBusManager::builder()
        .service("visible")
        .subscribers("visible.*")
        .state(numbers.clone())
        .bus("default", config)
        .start()
        .await
        .map_err(|error| error.to_string())?;
    let bus = manager.default_bus();
    Ok((manager, bus, numbers))
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_subscriber_that_is_too_slow_is_said_once_and_when_it_is_over() {
    let logged = Logged::start();
    let server = RedisServer::start();
    let config = BusConfig::redis(server.url()).queue_capacity(4);
    let (manager, bus, numbers) = start(config).await.unwrap();
    for number in 0..500 {
        bus.publish(order(number)).await.unwrap();
    }
    until("the last one is handled", SOON, || numbers.has(499)).await;
    bus.publish(order(1000)).await.unwrap();
    until("it catches up", SOON, || numbers.has(1000)).await;
    let said = logged.lines(&["WARN", "too slow"]);
    assert_eq!(said.len(), 1, "{said:?}");
    until("its end is said", SOON, || !logged.lines(&["INFO", "keeps up again"]).is_empty()).await;
    let dropped = bus.health().subscriptions.iter().map(|it| it.dropped).sum::<u64>();
    let over = logged.lines(&["INFO", "keeps up again"]);
    assert!(over.len() == 1 && over[0].contains(&format!("dropped={dropped}")), "{over:?}");
    manager.shutdown().await.unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn events_that_the_output_buffer_limit_costs_are_said() {
    let logged = Logged::start();
    let server = RedisServer::start();
    let limit: [&[u8]; 4] = [b"CONFIG", b"SET", b"client-output-buffer-limit", b"pubsub 1mb 0 0"];
    assert!(server.command(&limit).unwrap().starts_with("+OK"));
    let (manager, bus, numbers) = start(BusConfig::redis(server.url())).await.unwrap();
    // This process reads nothing meanwhile: the test blocks its only thread.
    let large = vec![b'x'; 1_000_000];
    for _ in 0..30 {
        let words: [&[u8]; 3] = [b"PUBLISH", b"events:visible.order", &large];
        server.command(&words).unwrap();
    }
    until("it is said", SOON, || !logged.lines(&["WARN", "client-output-buffer-limit"]).is_empty())
        .await;
    bus.publish(order(2000)).await.unwrap();
    until("it goes on", SOON, || numbers.has(2000)).await;
    assert_eq!(logged.lines(&["client-output-buffer-limit"]).len(), 1);
    manager.shutdown().await.unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn an_outage_is_two_lines_and_health_tells_why_of_idle_subscribers_too() {
    let logged = Logged::start();
    let mut server = RedisServer::start_with(RedisOptions::default().durable());
    let (manager, bus, numbers) = start(BusConfig::redis_streams(server.url())).await.unwrap();
    server.kill();
    until("health tells", SOON, || !bus.health().is_up).await;
    until("so do all subscriptions", SOON, || {
        bus.health().subscriptions.iter().all(|it| !it.is_live)
    })
    .await;
    sleep(Duration::from_secs(4)).await;
    let problem = bus.health().problem.expect("health says why");
    assert!(problem.contains("refused") && problem.contains("not connected"), "{problem}");
    server.start_again();
    until("all are live again", SOON, || {
        let health = bus.health();
        health.is_up && health.problem.is_none() && health.subscriptions.iter().all(|it| it.is_live)
    })
    .await;
    bus.publish(order(1000)).await.unwrap();
    until("it goes on", SOON, || numbers.has(1000)).await;
    let said = logged.lines(&["WARN"]);
    assert_eq!(said.len(), 1, "{said:?}");
    let over = logged.lines(&["INFO", "restored the connection"]);
    assert_eq!(over.len(), 1, "{over:?}");
    manager.shutdown().await.unwrap();
}

/// The rights of the reader are taken away under it, which nothing but its reads can tell.
#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_subscriber_that_cannot_read_is_said_once_and_when_it_can_again() {
    let logged = Logged::start();
    let server = RedisServer::start();
    server.does("ACL SETUSER shop on >password ~* &* +@all");
    let url = format!("redis://shop:password@{}/0", server.address());
    let (manager, bus, numbers) = start(BusConfig::redis_streams(url)).await.unwrap();
    server.does("ACL SETUSER shop -xreadgroup");
    until("health tells why", SOON, || {
        bus.health().subscriptions.iter().any(|it| {
            !it.is_live && it.problem.as_deref().is_some_and(|why| why.contains("xreadgroup"))
        })
    })
    .await;
    until("it is said", SOON, || !logged.lines(&["WARN", "cannot read"]).is_empty()).await;
    sleep(Duration::from_secs(4)).await;
    for subscriber in ["visible.mail", "visible.idle"] {
        let said = logged.lines(&["WARN", "cannot read", subscriber]);
        assert!(said.len() <= 1, "{said:?}");
    }
    server.does("ACL SETUSER shop +xreadgroup");
    bus.publish(order(1000)).await.unwrap();
    until("it goes on", SOON, || numbers.has(1000)).await;
    until("that is said", SOON, || !logged.lines(&["INFO", "reads its streams again"]).is_empty())
        .await;
    until("health is good", SOON, || {
        bus.health().subscriptions.iter().all(|it| it.is_live && it.problem.is_none())
    })
    .await;
    manager.shutdown().await.unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server and openssl; tests/run installs redis-server"]
async fn a_mistaken_url_is_told_from_a_server_that_is_away() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let path = |file: &str| folder.path().join(file).display().to_string();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (authority, certificate, key) = (path("ca.crt"), path("server.crt"), path("server.key"));
    let options = RedisOptions::default().password("hunter2").arguments([
        "--tls-port",
        &port,
        "--tls-ca-cert-file",
        &authority,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ]);
    let server = RedisServer::start_with(options);
    let refused = async |config: BusConfig| {
        let started = std::time::Instant::now();
        let config = config.connect_timeout(Duration::from_secs(5));
        let error = start(config).await.expect_err("it is refused");
        assert!(started.elapsed() < Duration::from_secs(10), "not at once: {error}");
        assert!(!error.contains("hunter2"), "{error}");
        error
    };
    let plain = server.address();
    let error = refused(BusConfig::redis(format!("rediss://:hunter2@{plain}"))).await;
    assert!(error.contains("does not speak TLS") && error.contains("`redis://`"), "{error}");
    let error = refused(BusConfig::redis(format!("redis://:hunter2@127.0.0.1:{port}"))).await;
    assert!(error.contains("`rediss://`"), "{error}");
    let error = refused(BusConfig::redis(format!("redis://{plain}"))).await;
    assert!(error.contains("no password"), "{error}");
    let socket = server.unix_url().replace("pass=", "password=");
    let error = refused(BusConfig::redis(socket)).await;
    assert!(error.contains("given by `pass`"), "{error}");

    // The server wants a certificate of its clients, by an authority of its own.
    let url = format!("rediss://:hunter2@127.0.0.1:{port}");
    let config = || BusConfig::redis_streams(&*url).tls_ca_file(&authority);
    let (manager, bus, numbers) =
        start(config().tls_cert_file(&certificate).tls_key_file(&key)).await.unwrap();
    bus.publish(order(1000)).await.unwrap();
    until("it is handled", SOON, || numbers.has(1000)).await;
    manager.shutdown().await.unwrap();
    let error = refused(config().tls_cert_file(&certificate)).await;
    assert!(error.contains("tls_key_file"), "{error}");
}
