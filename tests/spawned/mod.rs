//! Tasks that handlers spawn, on each backend.
//!
//! Each function is a test. It is given the configuration of a bus that nothing else uses.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aury_events::{EventBusManagerBuilder, EventId, PublishError, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "spawned.asked")]
struct Asked;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "spawned.answered")]
struct Answered;

/// The correlation and causation id of an event.
type Causes = (EventId, Option<EventId>);

/// What the test and the handlers share.
#[derive(Clone)]
struct Stage {
    log: Arc<Mutex<Vec<String>>>,
    causes: Arc<Mutex<Vec<Causes>>>,
    /// Handlers go on when the test lets them.
    gate: Arc<Semaphore>,
}

impl Stage {
    fn add(&self, entry: impl Into<String>) {
        self.log.lock().unwrap().push(entry.into());
    }

    fn count(&self, entry: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|it| *it == entry).count()
    }

    async fn pass(&self) {
        self.gate.acquire().await.expect("it is never closed").forget();
    }
}

/// Waits in a task of its own: no handler owns what that publishes.
#[subscribe(name = "spawned.bare")]
async fn bare(_: &Asked, bus: EventBus, State(stage): State<Stage>) -> Result<(), PublishError> {
    stage.add("running");
    stage.pass().await;
    let published = tokio::spawn(async move { bus.publish(Answered).await }).await;
    published.expect("it does not panic")?;
    stage.add("published");
    Ok(())
}

/// Returns before its task ends.
#[subscribe(name = "spawned.left_behind")]
async fn left_behind(_: &Asked, context: Context, State(stage): State<Stage>) {
    stage.add("running");
    context.spawn(async move {
        stage.pass().await;
        // The manager of this test, which is not that of the process.
        aury_events::publish(Answered).await.expect("it belongs to the handler");
        stage.add("published");
    });
}

#[subscribe(name = "spawned.branches")]
async fn branches(_: &Asked, context: Context) {
    let mut branches = JoinSet::new();
    for _ in 0..3 {
        branches.spawn(context.scope(async { aury_events::publish(Answered).await }));
    }
    for published in branches.join_all().await {
        published.expect("it belongs to the handler");
    }
}

#[subscribe(name = "spawned.note")]
async fn note(_: &Answered, context: Context, State(stage): State<Stage>) {
    stage.causes.lock().unwrap().push((context.correlation_id(), context.causation_id()));
    stage.add("answered");
}

fn process(config: BusConfig, subscriber: &str) -> (EventBusManagerBuilder, Stage) {
    let stage =
        Stage { log: Arc::default(), causes: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
    let builder = EventBusManager::builder()
        .service("spawned")
        .bus("default", config)
        .subscribers(format!("spawned.{subscriber}, spawned.note"))
        .state(stage.clone());
    (builder, stage)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let holds = async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, holds).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Has a handler of that subscriber wait while the bus drains, lets it go on, and waits for the end.
async fn drain_around(config: BusConfig, subscriber: &str) -> Stage {
    let (builder, stage) = process(config, subscriber);
    let events = builder.start().await.unwrap();
    let bus = events.default_bus();
    bus.publish(Asked).await.unwrap();
    until("the handler runs", || stage.count("running") == 1).await;
    let shutdown = tokio::spawn(async move { events.shutdown().await });
    until("the bus drains", || !bus.health().is_up).await;
    stage.gate.add_permits(1);
    let shutdown = timeout(DEADLINE, shutdown).await.expect("it ends");
    shutdown.expect("it does not panic").expect("nothing is left");
    assert_eq!(stage.count("published"), 1);
    assert_eq!(stage.count("running"), 1, "it is no further attempt");
    stage
}

/// `is_local`: what a handler publishes during shutdown is handled here.
pub(crate) async fn a_handler_that_waits_for_its_task_is_not_refused_while_the_bus_drains(
    config: BusConfig,
    is_local: bool,
) {
    let stage = drain_around(config, "bare").await;
    if is_local {
        assert_eq!(stage.count("answered"), 1);
    }
}

pub(crate) async fn a_shutdown_waits_for_what_a_context_has_spawned(
    config: BusConfig,
    is_local: bool,
) {
    let stage = drain_around(config, "left_behind").await;
    if is_local {
        assert_eq!(stage.count("answered"), 1);
    }
}

pub(crate) async fn a_task_that_does_not_end_is_left_over(config: BusConfig) {
    let config = config.shutdown_timeout(Duration::from_millis(200));
    let (builder, stage) = process(config, "left_behind");
    let events = builder.start().await.unwrap();
    events.default_bus().publish(Asked).await.unwrap();
    until("the handler runs", || stage.count("running") == 1).await;
    let left = events.shutdown().await.expect_err("it is not over");
    assert_eq!(left.left(), [("spawned.left_behind".to_owned(), 1)]);
    stage.gate.add_permits(1);
    until("the task is ended", || Arc::strong_count(&stage.gate) <= 2).await;
    assert_eq!(stage.count("published"), 0);
}

pub(crate) async fn what_branches_of_a_handler_publish_belongs_to_the_chain(config: BusConfig) {
    let (builder, stage) = process(config, "branches");
    let events = builder.start().await.unwrap();
    let asked = events.default_bus().publish(Asked).await.unwrap();
    until("all is answered", || stage.count("answered") == 3).await;
    assert_eq!(*stage.causes.lock().unwrap(), vec![(asked.clone(), Some(asked)); 3]);
    events.shutdown().await.unwrap();
}
