//! Sentinels: the primary is whichever they say.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    brokers::{RedisOptions, RedisSentinels, RedisServer},
    support::{Logged, Numbers, SOON, until},
};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "sentinel.order")]
struct Order {
    number: u64,
}

#[subscribe(name = "sentinel.mail", concurrency = 8)]
async fn mail(order: &Order, State(numbers): State<Numbers>) {
    numbers.add(order.number);
}

/// A primary, two replicas, and three Sentinels.
struct Guarded {
    servers: Vec<RedisServer>,
    sentinels: RedisSentinels,
}

impl Guarded {
    /// A primary takes nothing while a replica is missing: else a former one, of which a replica was promoted, goes on
    /// confirming until it is told.
    fn start() -> Self {
        let options = RedisOptions::default().durable().arguments(["--min-replicas-to-write", "2"]);
        let primary = RedisServer::start_with(options.clone());
        let replicas = [(); 2].map(|()| RedisServer::replica_of(&primary));
        let mut servers = vec![primary];
        servers.extend(replicas);
        let sentinels = RedisSentinels::of(&servers[0], 2);
        Self { servers, sentinels }
    }

    /// Whom the Sentinels name, and what the servers say and have logged.
    fn state(&self) -> String {
        let mut state = format!("the Sentinels name {:?}", self.sentinels.primary());
        for server in &self.servers {
            let says = server.ask("INFO replication").unwrap_or_default();
            state += &format!("\n--- {} ---\n{says}\n{}", server.address(), server.log());
        }
        state
    }

    fn primary(&mut self) -> &mut RedisServer {
        let port = self.sentinels.primary().expect("there is a primary");
        let is_it = |server: &&mut RedisServer| server.address().port() == port;
        self.servers.iter_mut().find(is_it).expect("it is one of ours")
    }
}

/// What is done to the servers, each with the number that was confirmed last before it.
#[derive(Debug, Default)]
struct Course(Vec<(String, u64)>);

impl Course {
    fn note(&mut self, what: impl Into<String>, confirmed: &AtomicU64) {
        self.0.push((what.into(), confirmed.load(SeqCst)));
    }

    /// What was done last before an event was published, and next.
    fn around(&self, number: u64) -> String {
        let next = self.0.partition_point(|(_, confirmed)| *confirmed < number);
        let around = &self.0[next.saturating_sub(1)..(next + 1).min(self.0.len())];
        format!("{number}: {around:?}")
    }
}

/// Publishes numbers, one after the other, until it is told to stop. Gives those that were confirmed.
fn publish(
    bus: &EventBus,
    stop: &Arc<AtomicBool>,
    latest: &Arc<AtomicU64>,
) -> JoinHandle<BTreeSet<u64>> {
    let (bus, stop, latest) = (bus.clone(), Arc::clone(stop), Arc::clone(latest));
    tokio::spawn(async move {
        let mut confirmed = BTreeSet::new();
        for number in 0.. {
            if stop.load(SeqCst) {
                break;
            }
            if bus.publish(Order { number }).await.is_ok() {
                confirmed.insert(number);
                latest.store(number, SeqCst);
            }
            sleep(Duration::from_millis(1)).await;
        }
        confirmed
    })
}

/// Waits until more events have been handled.
async fn goes_on(
    what: &str,
    guarded: &Guarded,
    bus: &EventBus,
    numbers: &Numbers,
    course: &Course,
) {
    let (so_far, deadline) = (numbers.count(), Instant::now() + SOON);
    while numbers.count() <= so_far + 100 {
        let handled = numbers.count() - so_far;
        assert!(
            Instant::now() < deadline,
            "not in time: {what}: {handled} more\n{:#?}\n{course:#?}\n{}",
            bus.health(),
            guarded.state()
        );
        sleep(Duration::from_millis(20)).await;
    }
}

async fn rounds(count: usize) {
    let mut guarded = Guarded::start();
    let numbers = Numbers::default();
    let manager = EventBusManager::builder()
        .service("sentinel")
        .subscribers("sentinel.*")
        .state(numbers.clone())
        .bus("default", BusConfig::redis_streams(guarded.sentinels.url()))
        .start()
        .await
        .unwrap();
    let bus = manager.default_bus();
    let stop = Arc::<AtomicBool>::default();
    let (latest, mut course) = (Arc::<AtomicU64>::default(), Course::default());
    let publishing = publish(&bus, &stop, &latest);
    for _ in 0..count {
        goes_on("events are handled", &guarded, &bus, &numbers, &course).await;
        course.note("failover begins", &latest);
        tokio::task::block_in_place(|| guarded.sentinels.fail_over());
        course.note("failover is over", &latest);
        goes_on("events are handled after a failover", &guarded, &bus, &numbers, &course).await;

        let before = guarded.sentinels.primary();
        course.note("primary is killed", &latest);
        guarded.primary().kill();
        course.note("primary was killed", &latest);
        until("another primary is chosen", SOON, || guarded.sentinels.primary() != before).await;
        let dead = |it: &&mut RedisServer| Some(it.address().port()) == before;
        course.note("another one is chosen", &latest);
        guarded.servers.iter_mut().find(dead).expect("the one that was killed").start_again();
        course.note("the dead one is there again", &latest);
        goes_on(
            "events are handled after the primary was killed",
            &guarded,
            &bus,
            &numbers,
            &course,
        )
        .await;
    }
    stop.store(true, SeqCst);
    let confirmed = publishing.await.unwrap();
    assert!(confirmed.len() > 200, "{}", confirmed.len());
    let all = || numbers.missing_of(&confirmed).is_empty();
    let deadline = Instant::now() + SOON;
    while !all() && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    let lost = numbers.missing_of(&confirmed);
    let where_lost: Vec<_> = lost.iter().map(|number| course.around(*number)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} confirmed events: {where_lost:#?}\n{}",
        lost.len(),
        confirmed.len(),
        guarded.state()
    );
    manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_failover_and_a_killed_primary_lose_nothing_that_was_confirmed() {
    rounds(if std::env::var_os("AURY_LONG").is_some() { 10 } else { 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_sentinel_that_is_gone_is_no_obstacle_and_an_unknown_name_is_refused() {
    let primary = RedisServer::start();
    let mut sentinels = RedisSentinels::of(&primary, 0);
    sentinels.kill(0);
    let start = |url: String| async {
        EventBusManager::builder()
            .subscribers("none")
            .bus("default", BusConfig::redis(url).connect_timeout(Duration::from_secs(5)))
            .start()
            .await
    };
    let manager = start(sentinels.url()).await.unwrap();
    manager.default_bus().publish(Order { number: 1 }).await.unwrap();
    manager.shutdown().await.unwrap();

    let error = start(sentinels.url().replace("/orders/", "/odours/")).await.unwrap_err();
    assert!(error.to_string().contains("know no primary named `odours`"), "{error}");
    let url = sentinels.url().replace("redis+sentinel", "redis");
    let error = start(url.replace("/orders/0", "")).await.unwrap_err();
    assert!(error.to_string().contains("redis+sentinel://host:26379/primary-name"), "{error}");
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_primary_that_confirms_without_its_replicas_is_warned_of() {
    for (arguments, warnings) in [(vec![], 1), (vec!["--min-replicas-to-write", "1"], 0)] {
        let primary = RedisServer::start_with(RedisOptions::default().arguments(arguments));
        let _replica = RedisServer::replica_of(&primary);
        let sentinels = RedisSentinels::of(&primary, 1);
        let logged = Logged::start();
        for (config, warnings) in [
            (BusConfig::redis_streams(sentinels.url()), warnings),
            // Without Sentinels, nothing takes its place.
            (BusConfig::redis_streams(primary.url()), warnings),
        ] {
            let manager = EventBusManager::builder().subscribers("none").bus("default", config);
            manager.start().await.unwrap().shutdown().await.unwrap();
            let said = logged.lines(&["WARN", "min-replicas-to-write"]);
            assert_eq!(said.len(), warnings, "{said:?}");
        }
    }
}
