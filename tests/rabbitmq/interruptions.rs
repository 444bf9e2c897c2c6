//! Events that end the process which handles them. Processes of the service are this program, started once more.

use std::{
    collections::HashSet,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use aury_events::{QueueType, prelude::*};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    brokers::{Proxy, RabbitServer},
    support::{Place, SOON, eventually, until},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "interruptions.order")]
struct Order {
    number: u32,
    kills: bool,
    /// How long handling it takes, in milliseconds.
    takes: u64,
}

const WORKER: &str = "interruptions.worker";

/// Where a worker writes what it does.
#[derive(Clone)]
struct Diary(PathBuf);

impl Diary {
    fn write(&self, line: &str) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.0).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|it| *it == line).count()
    }

    fn begun(&self, number: u32) -> usize {
        let begin = format!("begin {number} ");
        self.lines().iter().filter(|line| line.starts_with(&begin)).count()
    }
}

#[subscribe(name = "interruptions.worker")]
async fn work(order: &Order, context: Context, State(diary): State<Diary>) {
    diary.write(&format!("begin {} attempt {}", order.number, context.attempt()));
    if order.kills {
        std::process::abort();
    }
    sleep(Duration::from_millis(order.takes)).await;
    diary.write(&format!("done {}", order.number));
}

/// In a worker: where it works, as what kind of queue, how many processes may die over one event, and its diary.
const PLACE: &str = "AURY_EVENTS_TEST_WORKER";

/// What runs in a worker: not a test by itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is a process of the tests beside it"]
async fn worker() {
    let Ok(told) = env::var(PLACE) else { return };
    let told: Vec<_> = told.split('|').collect();
    let [url, name, queue_type, max, diary] = told[..] else { panic!("{told:?}") };
    let place = Place { url: url.to_owned(), name: name.to_owned() };
    let config = place.config().queue_type(queue_type.parse::<QueueType>().unwrap());
    let config = config.max_interruptions(max.parse().unwrap());
    let process = place.process_as(WORKER, config).state(Diary(diary.into()));
    let _events = process.start().await.unwrap();
    std::future::pending::<()>().await;
}

/// A service whose processes die.
struct Service {
    place: Place,
    queue_type: QueueType,
    max: u32,
    folder: TempDir,
}

impl Service {
    fn new(url: String, queue_type: QueueType, max: u32) -> Self {
        Self { place: Place::at(url), queue_type, max, folder: tempfile::tempdir().unwrap() }
    }

    fn diary(&self) -> Diary {
        Diary(Path::new(self.folder.path()).join("diary"))
    }

    fn worker(&self) -> Worker {
        self.worker_by(&self.place.url)
    }

    /// Starts one that reaches the broker by that URL.
    fn worker_by(&self, url: &str) -> Worker {
        let (name, diary) = (&self.place.name, self.diary().0);
        let told =
            format!("{url}|{name}|{}|{}|{}", self.queue_type, self.max, diary.to_str().unwrap());
        let child = Command::new(env::current_exe().unwrap())
            .args(["interruptions::worker", "--exact", "--ignored"])
            .env(PLACE, told)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Worker(child.unwrap())
    }

    /// Starts workers, one after the other, until all of these are done. Gives how many have died.
    async fn until_done(&self, numbers: impl Iterator<Item = u32> + Clone, letters: usize) -> u32 {
        let (diary, mut worker, mut deaths) = (self.diary(), self.worker(), 0);
        let publishing = self.publisher().await;
        let bus = publishing.default_bus();
        eventually("everything is handled", 4 * SOON, async || {
            if worker.has_died() {
                deaths += 1;
                assert!(deaths < 30, "{:?}", diary.lines());
                worker = self.worker();
            }
            let done = numbers.clone().all(|number| diary.count(&format!("done {number}")) > 0);
            sleep(Duration::from_millis(100)).await;
            let listed = bus.dead_letters().of(WORKER).list().await.unwrap();
            // A process that dies while it moves one leaves two.
            let events: HashSet<_> = listed.iter().map(|letter| letter.event_id()).collect();
            done && events.len() == letters
        })
        .await;
        deaths
    }

    async fn publisher(&self) -> EventBusManager {
        let config = self.place.config().queue_type(self.queue_type);
        self.place.process_as("none", config).start().await.unwrap()
    }

    /// Has the queue made before anything is published.
    async fn begin(&self) {
        let config = self.place.config().queue_type(self.queue_type);
        let first = self.place.process_as(WORKER, config).state(self.diary()).start().await;
        first.unwrap().shutdown().await.unwrap();
    }
}

struct Worker(Child);

impl Worker {
    fn has_died(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn publish(bus: &EventBus, orders: impl Iterator<Item = Order>) {
    bus.publish_all(orders.collect::<Vec<_>>()).await.unwrap();
}

fn innocent(number: u32) -> Order {
    Order { number, kills: false, takes: 0 }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn what_kills_processes_becomes_a_dead_letter_and_no_innocent_does_on_quorum_queues() {
    killers(QueueType::Quorum).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn what_kills_processes_becomes_a_dead_letter_and_no_innocent_does_on_classic_queues() {
    killers(QueueType::Classic).await;
}

async fn killers(queue_type: QueueType) {
    let max = if env::var_os("AURY_LONG").is_some() { 5 } else { 2 };
    let service = Service::new(RabbitServer::shared().url(), queue_type, max);
    service.begin().await;
    let publishing = service.publisher().await;
    let bus = publishing.default_bus();
    // A full window, with two that kill in it.
    let kills = |number: u32| number == 3 || number == 17;
    let orders = (0..32).map(|number| Order { kills: kills(number), ..innocent(number) });
    publish(&bus, orders).await;

    let innocents = (0..32).filter(|number| !kills(*number));
    let deaths = service.until_done(innocents.clone(), 2).await;
    let diary = service.diary();
    // Once in the full window, once each together with others, and then alone.
    assert!(deaths <= 3 + 2 * max, "{deaths} have died: {:?}", diary.lines());
    for culprit in [3, 17] {
        let begun = diary.begun(culprit) as u32;
        assert!((max..=max + 2).contains(&begun), "{culprit} has begun {begun} times");
    }
    let letters = bus.dead_letters().of(WORKER).list().await.unwrap();
    let reason = format!("{max} processes died while its handler was running");
    for letter in &letters {
        let order: serde_json::Value =
            serde_json::from_slice(&letter.envelope.payload().json().unwrap()).unwrap();
        assert!(order["kills"].as_bool().unwrap(), "an innocent is dead: {order}");
        assert_eq!((&*letter.reason, letter.attempts), (&*reason, 1));
    }
    for number in innocents {
        let begun = format!("begin {number} attempt 1");
        assert_eq!(diary.count(&begun), diary.begun(number), "{number} has lost attempts");
        // What was handled just before a crash may not have been told to the broker yet.
        assert!(diary.begun(number) <= 3, "{number} was handled again and again");
    }
    println!("{queue_type}: {deaths} processes have died, innocents dead-lettered: 0");
    publishing.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_killed_process_costs_what_it_held_no_attempt() {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let service = Service::new(RabbitServer::shared().url(), queue_type, 1);
        service.begin().await;
        let publishing = service.publisher().await;
        let slow = |number| Order { takes: 60_000 * u64::from(number == 0), ..innocent(number) };
        publish(&publishing.default_bus(), (0..32).map(slow)).await;
        let diary = service.diary();
        // More kills than anything may be counted for: the one that runs, and 31 that are only prefetched.
        let mut worker = service.worker();
        until("the slow one has begun", SOON, || diary.begun(0) > 0).await;
        worker.kill();
        drop(worker);
        // It kills once more: alone, or together with others if these are there in time.
        let mut worker = service.worker();
        until("it has begun again", 2 * SOON, || diary.begun(0) > 1).await;
        worker.kill();
        drop(worker);
        let mut worker = service.worker();
        let others = || (1..32).all(|number| diary.count(&format!("done {number}")) > 0);
        until("it begins alone, or is given up", SOON, || diary.begun(0) > 2 || others()).await;
        if diary.begun(0) > 2 {
            worker.kill();
        }
        let deaths = service.until_done(1..32, 1).await;
        assert_eq!(deaths, 0);
        for number in 1..32 {
            assert_eq!(diary.begun(number), 1, "{number}: {:?}", diary.lines());
            assert_eq!(diary.count(&format!("begin {number} attempt 1")), 1);
        }
        publishing.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn lost_connections_alone_make_no_dead_letters() {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let server = RabbitServer::shared();
        let proxies = [Proxy::to(server.address()), Proxy::to(server.address())];
        let service = Service::new(server.url(), queue_type, 1);
        service.begin().await;
        let publishing = service.publisher().await;
        let slow = |number| Order { takes: 300, ..innocent(number) };
        publish(&publishing.default_bus(), (0..32).map(slow)).await;
        let diary = service.diary();
        let workers =
            proxies.each_ref().map(|proxy| service.worker_by(&server.url_by(proxy.address())));
        until("it begins", SOON, || diary.lines().len() > 1).await;
        // By turns: what one holds goes to the other, which knows nothing of it.
        for round in 0..12 {
            proxies[round % 2].cut();
            sleep(Duration::from_millis(400)).await;
        }
        let bus = publishing.default_bus();
        until("all are done", 3 * SOON, || {
            (0..32).all(|number| diary.count(&format!("done {number}")) > 0)
        })
        .await;
        let letters = bus.dead_letters().of(WORKER).list().await.unwrap();
        assert!(letters.is_empty(), "{letters:#?}\n{:#?}", diary.lines());
        let attempts = diary.lines().iter().filter(|line| line.ends_with("attempt 1")).count();
        let begun = diary.lines().iter().filter(|line| line.starts_with("begin")).count();
        assert_eq!(attempts, begun, "a lost connection is no attempt");
        drop(workers);
        publishing.shutdown().await.unwrap();
    }
}
