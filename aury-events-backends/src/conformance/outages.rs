//! Servers that go away and come back, under load.
//!
//! One judgement for all: of a backend that delivers at least once, every event that was confirmed is handled. Of one
//! that does not, what was confirmed before the fault and delivered by then, and what is confirmed after the recovery;
//! a loss is confined to the outage. In both cases, events reach every subscriber again soon after the server's return,
//! without anybody's help.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    ledger::Ledger,
    process::{Numbered, ORDER_CREATED, Process, event, order},
    sharing::publish,
    subject::{Fault, Unsupported},
    subscriber::Worker,
    trial::{Need, Trial},
    wait::{DEADLINE, until},
};
use crate::config::PREFETCH;

/// How many events are published in all, most of them around the fault.
const EVENTS: u32 = 3_000;
/// How many of them before the fault, and how many after the recovery.
const CALM: u32 = 500;
/// How many tasks publish around the fault.
const PUBLISHERS: u32 = 8;
/// The subscribers, each with a connection of its own.
const SUBSCRIBERS: [&str; 3] = ["mail", "stock", "audit"];
/// How many deliveries each of them holds unacknowledged, where its backend counts them.
const HELD: usize = 32;
/// How long nothing is confirmed before a server is taken to be gone, where publishers get no error.
const STANDSTILL: Duration = Duration::from_millis(300);
/// How long an application waits before it publishes again after an error.
const PAUSE: Duration = Duration::from_millis(20);
/// The number of events that only find out whether events flow.
const PROBE: u32 = u32::MAX;

pub(super) async fn a_restart_under_load_loses_nothing_confirmed(
    trial: &Trial,
) -> Result<(), Unsupported> {
    outage_under_load(trial, &[Fault::Stop, Fault::Start]).await
}

pub(super) async fn a_kill_under_load_loses_nothing_confirmed(
    trial: &Trial,
) -> Result<(), Unsupported> {
    outage_under_load(trial, &[Fault::Kill, Fault::Start]).await
}

pub(super) async fn a_pause_under_load_loses_nothing_confirmed(
    trial: &Trial,
) -> Result<(), Unsupported> {
    outage_under_load(trial, &[Fault::Pause, Fault::Resume]).await
}

pub(super) async fn cut_connections_under_load_lose_nothing_confirmed(
    trial: &Trial,
) -> Result<(), Unsupported> {
    outage_under_load(trial, &[Fault::CutConnections]).await
}

/// A shop with its subscribers, and a till that publishes.
struct Scene {
    till: Process,
    ledger: Ledger,
    workers: Vec<Worker>,
    /// What the subscribers hold together at most, and may get again.
    most_held: usize,
}

impl Scene {
    async fn set(trial: &Trial) -> Self {
        let ledger = Ledger::of(SUBSCRIBERS);
        let mut workers = Vec::new();
        for subscriber in SUBSCRIBERS {
            let mut connect = trial.connect("shop");
            connect.config.set(&PREFETCH, HELD).expect("it is a number in its range");
            let process = trial.process_as(connect).await;
            workers.push(process.subscribe(subscriber).await.handle_into(&ledger));
        }
        let most_held = HELD * SUBSCRIBERS.len();
        Self { till: trial.process("till").await, ledger, workers, most_held }
    }

    /// Publishes now and then until an event has reached every subscriber.
    async fn events_flow_within(&self, limit: Duration) {
        let returned = Instant::now();
        let seen_before = self.probes_seen();
        loop {
            let probe = event(&ORDER_CREATED, Numbered { publisher: 0, number: PROBE });
            self.ledger.doubtful(probe.metadata().id());
            // Whether a single one is confirmed is not the question.
            let _ = timeout(PAUSE * 10, self.till.try_publish(probe)).await;
            let arrived =
                || self.probes_seen().iter().zip(&seen_before).all(|(now, then)| now > then);
            // The limit outside is the one that counts: the inner one must not come first on a busy machine.
            let waiting = until("a probe arrives", limit + DEADLINE, arrived);
            if timeout(PAUSE, waiting).await.is_ok() {
                break;
            }
            assert!(returned.elapsed() < limit, "events do not flow {limit:?} after the return");
        }
        eprintln!("events flow {:?} after the return", returned.elapsed());
    }

    fn probes_seen(&self) -> Vec<usize> {
        let probes = |worker: &Worker| {
            worker.seen.all().iter().filter(|it| it.event.number == PROBE).count()
        };
        self.workers.iter().map(probes).collect()
    }
}

async fn outage_under_load(trial: &Trial, faults: &[Fault]) -> Result<(), Unsupported> {
    let (fault, repair) = faults.split_first().expect("something happens");
    trial.needs(Need::Remote)?;
    let scene = Scene::set(trial).await;
    publish(&scene.till, &scene.ledger, 0..CALM).await;
    scene.ledger.complete_within(DEADLINE).await;

    let load = Load::start(trial, &scene).await;
    load.has_confirmed(1).await;
    trial.inflict(*fault).await?;
    if let Some(repair) = repair.first() {
        load.is_noticed().await;
        trial.inflict(*repair).await?;
    }
    scene.events_flow_within(trial.recovery_time()).await;
    load.done().await;

    publish(&scene.till, &scene.ledger, EVENTS - CALM..EVENTS).await;
    scene.ledger.complete_within(DEADLINE + trial.redelivery_time()).await;
    // For each connection that broke: what was held unacknowledged, and what was sent and not yet confirmed.
    let most_doubled = scene.most_held + (PUBLISHERS as usize) * SUBSCRIBERS.len();
    scene.ledger.verify(if trial.is_at_least_once() { 2 * most_doubled } else { 0 });
    Ok(())
}

/// Tasks that publish through a fault, without regard to it.
struct Load {
    confirmed: Arc<AtomicUsize>,
    failed: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    async fn start(trial: &Trial, scene: &Scene) -> Self {
        let mut load =
            Self { confirmed: Arc::default(), failed: Arc::default(), tasks: Vec::new() };
        let each = (EVENTS - 2 * CALM) / PUBLISHERS;
        for publisher in 0..PUBLISHERS {
            let process = scene.till.clone();
            let ledger = scene.ledger.clone();
            let (confirmed, failed) = (Arc::clone(&load.confirmed), Arc::clone(&load.failed));
            let is_promised = trial.is_at_least_once();
            load.tasks.push(tokio::spawn(async move {
                for number in 0..each {
                    let order = event(&ORDER_CREATED, Numbered { publisher, number });
                    let id = order.metadata().id();
                    // Entered before: it may be handled before the confirmation is here.
                    ledger.doubtful(id.clone());
                    match process.try_publish(order).await {
                        Ok(()) => {
                            confirmed.fetch_add(1, SeqCst);
                            if is_promised {
                                ledger.confirmed(id);
                            }
                        }
                        Err(_) => {
                            failed.store(true, SeqCst);
                            sleep(PAUSE).await;
                        }
                    }
                }
            }));
        }
        load
    }

    async fn has_confirmed(&self, count: usize) {
        let reached = || self.confirmed.load(SeqCst) >= count;
        until("events are confirmed", DEADLINE, reached).await;
    }

    /// Waits until publishers get errors, or nothing at all.
    async fn is_noticed(&self) {
        let mut last = (self.confirmed.load(SeqCst), Instant::now());
        until("the server is gone", DEADLINE, || {
            let confirmed = self.confirmed.load(SeqCst);
            if confirmed != last.0 {
                last = (confirmed, Instant::now());
            }
            self.failed.load(SeqCst) || last.1.elapsed() > STANDSTILL
        })
        .await;
    }

    async fn done(self) {
        for task in self.tasks {
            let ended = timeout(DEADLINE * 3, task).await.expect("publishers come to an end");
            ended.expect("publishing does not panic");
        }
    }
}

pub(super) async fn publishing_without_a_server_is_no_silent_loss(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Remote)?;
    let scene = Scene::set(trial).await;
    publish(&scene.till, &scene.ledger, 0..1).await;
    scene.ledger.complete_within(DEADLINE).await;
    trial.inflict(Fault::Kill).await?;

    let is_back = Arc::new(AtomicBool::new(false));
    let attempts: Vec<_> = (0..20)
        .map(|number| {
            let (till, ledger) = (scene.till.clone(), scene.ledger.clone());
            let is_back = Arc::clone(&is_back);
            tokio::spawn(async move {
                let order = order(number);
                let id = order.metadata().id();
                ledger.doubtful(id.clone());
                let published = till.try_publish(order).await;
                let confirmed_by_nobody = published.is_ok() && !is_back.load(SeqCst);
                assert!(!confirmed_by_nobody, "an event is confirmed while there is no server");
                published.is_ok().then_some(id)
            })
        })
        .collect();
    sleep(STANDSTILL).await;
    is_back.store(true, SeqCst);
    trial.inflict(Fault::Start).await?;
    scene.events_flow_within(trial.recovery_time()).await;
    for attempt in attempts {
        let confirmed = timeout(DEADLINE, attempt).await.expect("every publish is answered");
        if let Some(id) = confirmed.expect("nothing is confirmed by nobody")
            && trial.is_at_least_once()
        {
            scene.ledger.confirmed(id);
        }
    }
    scene.ledger.complete_within(DEADLINE).await;
    scene.ledger.verify(if trial.is_at_least_once() { 20 * SUBSCRIBERS.len() } else { 0 });
    Ok(())
}

pub(super) async fn a_long_outage_is_survived(trial: &Trial) -> Result<(), Unsupported> {
    /// Longer than clients with a few quick attempts hold out.
    const OUTAGE: Duration = Duration::from_secs(8);
    trial.needs(Need::Remote)?;
    let scene = Scene::set(trial).await;
    publish(&scene.till, &scene.ledger, 0..100).await;
    scene.ledger.complete_within(DEADLINE).await;
    trial.inflict(Fault::Kill).await?;
    let health = || scene.till.backend.health().is_up;
    until("health tells of the outage", DEADLINE, || !health()).await;
    sleep(OUTAGE).await;
    trial.inflict(Fault::Start).await?;
    scene.events_flow_within(trial.recovery_time()).await;
    until("health tells of the return", DEADLINE, health).await;
    publish(&scene.till, &scene.ledger, 100..200).await;
    scene.ledger.complete_within(DEADLINE).await;
    scene.ledger.verify(if trial.is_at_least_once() { scene.most_held } else { 0 });
    Ok(())
}

pub(super) async fn a_server_that_is_late_is_waited_for(trial: &Trial) -> Result<(), Unsupported> {
    trial.needs(Need::Remote)?;
    trial.inflict(Fault::Kill).await?;
    let (subject, connect) = (trial.subject(), trial.connect("shop"));
    let connecting = tokio::spawn(async move { subject.connect(connect).await });
    sleep(STANDSTILL).await;
    assert!(!connecting.is_finished(), "a process gives up while it should wait");
    trial.inflict(Fault::Start).await?;
    let connected = timeout(DEADLINE, connecting).await.expect("it connects soon");
    let backend = connected.expect("connecting does not panic");
    backend.unwrap_or_else(|error| panic!("connect: {error:?}"));
    Ok(())
}
