//! The harness itself.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Proxy, RedisCluster, RedisOptions, RedisRelease, RedisSentinels, RedisServer};

const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(100);

#[test]
#[ignore = "needs redis-server; tests/run installs it"]
fn a_server_answers_and_ends_with_its_value() {
    let server = RedisServer::start();
    assert!(server.ask("PING").unwrap().starts_with("+PONG"));
    let (address, url) = (server.address(), server.url());
    assert_eq!(url, format!("redis://{address}/0"));
    drop(server);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
#[ignore = "needs redis-server; tests/run installs it"]
fn a_durable_server_keeps_its_data_when_it_is_killed_and_another_one_does_not() {
    for (options, kept) in [
        (RedisOptions::default().durable().password("hunter2"), "$1\r\n1"),
        (RedisOptions::default(), "$-1"),
    ] {
        let mut server = RedisServer::start_with(options);
        assert!(server.ask("SET a 1").unwrap().starts_with("+OK"));
        server.kill();
        assert!(server.ask("PING").is_err());
        server.start_again();
        assert_eq!(server.ask("GET a").unwrap().trim_end(), kept);
        server.stop();
        server.start_again();
        assert_eq!(server.ask("GET a").unwrap().trim_end(), kept);
    }
}

#[test]
#[ignore = "needs redis-server; tests/run installs it"]
fn a_paused_server_does_not_answer_until_it_is_resumed() {
    let server = RedisServer::start();
    server.pause();
    assert!(server.ask("PING").is_err());
    server.resume();
    assert!(server.ask("PING").unwrap().starts_with("+PONG"));
    server.pause();
    // It is killed all the same.
    drop(server);
}

#[test]
#[ignore = "needs redis-server and python3; tests/run installs them"]
fn servers_of_all_releases_answer() {
    for (release, version) in RedisRelease::ALL.into_iter().zip(["6.2", "7.0", "9."]) {
        let server = RedisServer::start_with(RedisOptions::default().release(release));
        let hello = server.ask("HELLO 3").unwrap();
        assert!(hello.contains(&format!("\r\n{version}")), "{hello}");
    }
}

#[test]
#[ignore = "needs redis-server; tests/run installs it"]
fn a_replica_follows_and_leads() {
    let primary = RedisServer::start_with(RedisOptions::default().password("hunter2"));
    primary.does("SET a 1");
    let replica = RedisServer::replica_of(&primary);
    assert!(replica.ask("GET a").unwrap().starts_with("$1\r\n1"));
    assert!(replica.ask("SET a 2").unwrap().starts_with("-READONLY"));
    replica.lead();
    replica.does("SET a 2");
    primary.follow(&replica);
    assert!(primary.ask("GET a").unwrap().starts_with("$1\r\n2"));
}

#[test]
#[ignore = "needs redis-server; tests/run installs it"]
fn sentinels_promote_a_replica() {
    let primary = RedisServer::start();
    let replica = RedisServer::replica_of(&primary);
    let sentinels = RedisSentinels::of(&primary, 1);
    assert_eq!(sentinels.primary(), Some(primary.address().port()));
    sentinels.fail_over();
    assert_eq!(sentinels.primary(), Some(replica.address().port()));
}

#[test]
#[ignore = "needs redis-server; tests/run installs it"]
fn a_cluster_shares_the_slots_and_fails_over() {
    let cluster = RedisCluster::start();
    let owner = cluster.owner_of("{events}:a");
    let mut servers = cluster.servers_of(owner);
    let (primary, replica) = (servers.next().unwrap(), servers.next().unwrap());
    primary.does("SET {events}:a 1");
    assert!(replica.ask("SET {events}:a 2").unwrap().starts_with("-MOVED"));
    cluster.fail_over(owner);
    replica.does("SET {events}:a 2");
    assert!(primary.ask("SET {events}:a 3").unwrap().starts_with("-MOVED"));
}

/// A server that sends back what it gets, behind a proxy.
async fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    proxy
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn is_echoed(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    let mut echoed = vec![0; bytes.len()];
    stream.write_all(bytes).await.is_ok()
        && timeout(SOON, stream.read_exact(&mut echoed)).await.is_ok_and(|read| read.is_ok())
        && echoed == bytes
}

#[tokio::test]
async fn a_proxy_passes_on_and_counts() {
    let proxy = echo().await;
    let (mut one, mut other) = (connect(&proxy).await, connect(&proxy).await);
    assert!(is_echoed(&mut one, &[7; 500_000]).await);
    assert!(is_echoed(&mut other, b"hello").await);
    assert_eq!(proxy.accepted(), 2);
}

#[tokio::test]
async fn a_cut_ends_connections_and_new_ones_work() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    assert!(is_echoed(&mut stream, b"before").await);
    proxy.cut();
    assert_eq!(timeout(SOON, stream.read(&mut [0; 8])).await.unwrap().unwrap_or(0), 0);
    assert!(is_echoed(&mut connect(&proxy).await, b"after").await);
    proxy.refuse(true);
    assert!(!is_echoed(&mut connect(&proxy).await, b"refused").await);
    proxy.refuse(false);
    assert!(is_echoed(&mut connect(&proxy).await, b"again").await);
}

#[tokio::test]
async fn a_stalled_connection_is_silent_and_then_goes_on() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    assert!(is_echoed(&mut stream, b"before").await);
    proxy.stall();
    stream.write_all(b"stalled").await.unwrap();
    let mut echoed = [0; 7];
    assert!(timeout(A_WHILE, stream.read_exact(&mut echoed)).await.is_err());
    proxy.resume();
    timeout(SOON, stream.read_exact(&mut echoed)).await.unwrap().unwrap();
    assert_eq!(&echoed, b"stalled");
}

#[tokio::test]
async fn a_slow_connection_takes_its_time() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    proxy.slow(10_000);
    let start = Instant::now();
    assert!(is_echoed(&mut stream, &[7; 2_000]).await);
    assert!(start.elapsed() >= A_WHILE, "{:?}", start.elapsed());
}
