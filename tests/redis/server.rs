//! What the server is: asked at every connect, refused or warned of if it does not suit.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use aury_events::{RedisIdempotency, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    brokers::{RedisOptions, RedisRelease, RedisServer},
    support::{Logged, Numbers, SOON, until},
};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "server.order")]
struct Order {
    number: u64,
}

#[derive(Debug, Clone, Default)]
struct Broadcast(Numbers);

#[subscribe(name = "server.mail", retry(attempts = 2, delay = "1500ms"))]
async fn mail(
    order: &Order,
    context: Context,
    State(numbers): State<Numbers>,
) -> Result<(), String> {
    match order.number % 10 {
        1 if context.attempt() == 1 => return Err("once more".to_owned()),
        2 if !numbers.has(1000) => return Err("never".to_owned()),
        _ => numbers.add(order.number),
    }
    Ok(())
}

#[subscribe(name = "server.audit", pattern = "server.*", broadcast)]
async fn audit(event: &AnyEvent, State(numbers): State<Broadcast>) {
    numbers.0.add(event.decode::<Order>().expect("an order").number);
}

#[subscribe(name = "lasting.mail", durable)]
async fn lasting(_order: &Order) {}

struct Process {
    manager: EventBusManager,
    bus: EventBus,
    numbers: Numbers,
    broadcast: Numbers,
}

async fn start_only(subscribers: &str, config: BusConfig) -> Result<Process, String> {
    let (numbers, broadcast) = (Numbers::default(), Broadcast::default());
    let manager = EventBusManager::builder()
        .service("server")
        .subscribers(subscribers)
        .state(numbers.clone())
        .state(broadcast.clone())
        .bus("default", config)
        .start()
        .await
        .map_err(|error| error.to_string())?;
    let bus = manager.default_bus();
    Ok(Process { manager, bus, numbers, broadcast: broadcast.0 })
}

async fn start(config: BusConfig) -> Result<Process, String> {
    start_only("server.*", config).await
}

/// Does all that a bus can do: publish, handle, retry, keep dead letters and replay them, read patterns, broadcast.
async fn does_everything(config: BusConfig, has_delay: bool) {
    let Process { manager, bus, numbers, broadcast } = start(config).await.unwrap();
    for number in 0..10 {
        bus.publish(Order { number }).await.unwrap();
    }
    bus.publish_all((10..20).map(|number| Order { number })).await.unwrap();
    if has_delay {
        let delayed = bus.publish(Order { number: 20 }).delay(Duration::from_millis(100));
        delayed.await.unwrap();
    }
    let count = if has_delay { 21 } else { 20 };
    until("the others hear all", SOON, || broadcast.count() == count).await;
    until("all but the bad ones are handled", SOON, || numbers.count() == count - 2).await;
    let mut letters = Vec::new();
    let start = Instant::now();
    while letters.len() < 2 {
        assert!(start.elapsed() < SOON, "{} of 2 dead letters", letters.len());
        letters = bus.dead_letters().list().await.unwrap();
    }
    numbers.add(1000);
    assert_eq!(bus.dead_letters().replay_all().await.unwrap(), 2);
    until("what is replayed is handled", SOON, || numbers.count() == count + 1).await;
    assert_eq!(bus.dead_letters().purge_all().await.unwrap(), 0);
    // Time for the upkeep, too.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let health = bus.health();
    assert!(health.is_up && health.problem.is_none(), "{health:?}");
    manager.shutdown().await.unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server and python3; tests/run installs them"]
async fn all_of_it_works_on_every_release() {
    for release in RedisRelease::ALL {
        let server = RedisServer::start_with(RedisOptions::default().release(release));
        does_everything(BusConfig::redis_streams(server.url()), true).await;
        does_everything(BusConfig::redis(server.url()), false).await;
    }
}

/// The rule for a user that the documentation gives, after these words.
fn documented(purpose: &str) -> String {
    const PAGE: &str = include_str!("../../aury-events-backends/src/redis/server.md");
    let (_, page) = PAGE.split_once(purpose).expect("the documentation says so");
    let rule = page.lines().find(|line| line.starts_with("ACL SETUSER ")).expect("a rule");
    rule.to_owned()
}

fn url_of(server: &RedisServer, user: &str) -> String {
    format!("redis://{user}:password@{}/0", server.address())
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn the_documented_rights_are_enough_and_each_of_them_is_asked_for() {
    for (purpose, config, has_delay) in [
        ("subscribers on streams needs", BusConfig::redis_streams as fn(String) -> BusConfig, true),
        ("subscribers to channels", BusConfig::redis, false),
    ] {
        let server = RedisServer::start();
        let rule = documented(purpose);
        server.does(&rule);
        does_everything(config(url_of(&server, "shop")), has_delay).await;
        let refused = server.ask("ACL LOG").unwrap();
        assert!(refused.starts_with("*0"), "{refused}");

        // What is asked for without being needed to start.
        let beside = ["hello", "select", "multi", "discard", "info"];
        // These are confirmed as they are used.
        let later = ["subscribe", "unsubscribe", "psubscribe", "punsubscribe"];
        let rights = rule.split(' ').filter_map(|word| word.strip_prefix('+'));
        for right in rights.filter(|it| !beside.contains(it) && !later.contains(it)) {
            server.does(&rule.replace(" shop ", " less ").replace("-@all", "-@all +@connection"));
            server.does(&format!("ACL SETUSER less -{right}"));
            let error = start(config(url_of(&server, "less"))).await.err();
            let error = error.unwrap_or_else(|| panic!("it starts without {right}"));
            let named = format!("`{}", right.to_uppercase());
            assert!(error.contains(&named) && error.contains("NOPERM"), "{right}: {error}");
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_user_without_scripts_is_refused_by_name() {
    let server = RedisServer::start();
    server.does("ACL SETUSER plain on >password ~* &* +@all -@scripting");
    for config in [BusConfig::redis_streams, BusConfig::redis] as [fn(String) -> BusConfig; 2] {
        let started = Instant::now();
        let error = start(config(url_of(&server, "plain"))).await.err().expect("it is refused");
        assert!(error.contains("`EVAL`") && !error.contains("password"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10), "at once");
        // Who only publishes needs no scripts.
        let process = start_only("none", config(url_of(&server, "plain"))).await.unwrap();
        process.bus.publish(Order { number: 1 }).await.unwrap();
        process.manager.shutdown().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_server_that_deletes_what_it_holds_is_refused_or_warned_of() {
    let server = RedisServer::start();
    let config = || BusConfig::redis_streams(server.url());
    for (policy, streams, marks) in
        [("noeviction", 0, 0), ("volatile-lru", 1, 1), ("allkeys-lru", 1, 1)]
    {
        server.does(&format!("CONFIG SET maxmemory-policy {policy}"));
        let logged = Logged::start();
        start(config()).await.unwrap().manager.shutdown().await.unwrap();
        let said = logged.lines(&["WARN", policy]);
        assert_eq!(said.len(), streams, "{policy}: {said:?}");
        let store = RedisIdempotency::connect(&server.url()).await.unwrap();
        drop(store);
        let said = logged.lines(&["WARN", policy, "handled again"]);
        assert_eq!(said.len(), marks, "{policy}: {said:?}");
        let lasting = start_only("lasting.*", config()).await;
        match policy {
            "allkeys-lru" => {
                let error = lasting.err().expect("it is refused");
                assert!(error.contains("allkeys-lru") && error.contains("noeviction"), "{error}");
            }
            _ => lasting.unwrap().manager.shutdown().await.unwrap(),
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_server_that_is_too_old_for_streams_is_refused_with_its_version() {
    let server = RedisServer::start();
    let version = version_of(&server);
    let address = pretends(server.address(), version, "6.0.16").await;
    let config = BusConfig::redis_streams(format!("redis://{address}"));
    let error = start(config).await.err().expect("it is refused");
    assert!(error.contains("6.0") && error.contains("6.2 or later"), "{error}");
    let config = BusConfig::redis(format!("redis://{address}"));
    start(config).await.unwrap().manager.shutdown().await.unwrap();
}

fn version_of(server: &RedisServer) -> String {
    let info = server.ask("INFO server").unwrap();
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
    version.expect("a version").to_owned()
}

/// A proxy to a server, which has its version sound like another one.
async fn pretends(server: SocketAddr, version: String, pretended: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let version = version.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(server).await?;
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(
                    async move { tokio::io::copy(&mut from_client, &mut to_server).await },
                );
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    let count = from_server.read(&mut buffer).await?;
                    if count == 0 {
                        return std::io::Result::Ok(());
                    }
                    let said = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    let (real, pretended) = (
                        format!("${}\r\n{version}\r\n", version.len()),
                        format!("${}\r\n{pretended}\r\n", pretended.len()),
                    );
                    to_client.write_all(said.replace(&real, &pretended).as_bytes()).await?;
                }
            });
        }
    });
    address
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_group_that_vanished_is_said_and_made_again() {
    let server = RedisServer::start();
    let logged = Logged::start();
    let process = start(BusConfig::redis_streams(server.url())).await.unwrap();
    process.bus.publish(Order { number: 3 }).await.unwrap();
    until("it is handled", SOON, || process.numbers.has(3)).await;
    server.does("FLUSHALL");
    until("it is said", SOON, || !logged.lines(&["WARN", "server.mail", "gone"]).is_empty()).await;
    process.bus.publish(Order { number: 4 }).await.unwrap();
    until("it is handled", SOON, || process.numbers.has(4) && process.broadcast.has(4)).await;
    let said = logged.lines(&["WARN", "server.mail", "events:server.order"]);
    assert_eq!(said.len(), 1, "{said:?}");
    process.manager.shutdown().await.unwrap();
}
