//! Handlers that publish, in every way there is, and are followed by others that do.

use std::{collections::HashMap, time::Duration};

use aury_events::{EventId, PublishError, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::sleep};

use super::{Happened, world::World};

/// How many events may follow one upon the other.
const DEPTH: u32 = 3;

/// The longest that a task waits before it publishes, in milliseconds.
const LONGEST: u64 = 3_000;

/// What a handler has published.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "oracle.followed")]
pub(super) struct Followed {
    pub(super) number: u32,
    depth: u32,
    /// The event that its handler was given, where the publish belongs to that handler.
    cause: Option<String>,
}

/// What has become of the publishing of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not known: its task was ended before.
    UnderWay,
    Accepted,
    Refused,
    /// By a task that no handler waited for, so that this may be.
    StrayRefused,
}

/// An account of what handlers publish.
#[derive(Default)]
pub(super) struct Spreading {
    /// By number.
    pub(super) fates: HashMap<u32, Fate>,
    /// Tasks of [`Context::spawn`] that have not come to their end, by subscriber.
    pub(super) unfinished: HashMap<&'static str, u64>,
    /// Tasks that the runtime alone knows of.
    strays: u32,
    /// Events that do not name their cause.
    pub(super) wrong: Vec<String>,
}

/// Counts as a stray task until it is dropped.
struct Stray(World);

impl Stray {
    fn new(world: &World) -> Self {
        world.with(|inner| inner.spreading.strays += 1);
        Self(world.clone())
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        self.0.with(|inner| inner.spreading.strays -= 1);
    }
}

impl World {
    /// Waits until the last task that the runtime alone knows of has ended.
    pub(super) async fn has_no_stray_task(&self) {
        while self.with(|inner| inner.spreading.strays > 0) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn next(&self, depth: u32, cause: Option<&EventId>) -> Followed {
        let number = self.with(|inner| {
            let number = inner.spreading.fates.len() as u32;
            inner.spreading.fates.insert(number, Fate::UnderWay);
            number
        });
        Followed { number, depth, cause: cause.map(ToString::to_string) }
    }

    /// Waits for a publish, and notes what became of it.
    async fn published(
        &self,
        number: u32,
        refused: Fate,
        publish: impl IntoFuture<Output = Result<EventId, PublishError>>,
    ) -> Result<(), PublishError> {
        let published = publish.await;
        let fate = if published.is_ok() { Fate::Accepted } else { refused };
        self.with(|inner| inner.spreading.fates.insert(number, fate));
        published.map(drop)
    }

    /// By a task of its own.
    async fn spawned(self, event: Followed, bus: EventBus) -> Result<(), PublishError> {
        let _stray = Stray::new(&self);
        self.published(event.number, Fate::Refused, bus.publish(event)).await
    }

    /// Publishes as chance says.
    async fn spread(
        &self,
        subscriber: &'static str,
        depth: u32,
        context: &Context,
        bus: &EventBus,
    ) -> Result<(), PublishError> {
        let (way, pause) = self.with(|inner| (inner.random.below(7), inner.random.below(LONGEST)));
        let pause = Duration::from_millis(pause);
        let (own, bare) =
            (|| self.next(depth, Some(&context.event_id())), || self.next(depth, None));
        let (world, bus) = (self.clone(), bus.clone());
        match way {
            0 => {
                let event = own();
                self.published(event.number, Fate::Refused, context.publish(event)).await
            }
            1 => {
                let event = own();
                self.published(event.number, Fate::Refused, aury_events::publish(event)).await
            }
            2 => tokio::spawn(world.spawned(bare(), bus)).await.expect("it does not panic"),
            3 => {
                let event = own();
                self.with(|inner| *inner.spreading.unfinished.entry(subscriber).or_default() += 1);
                context.spawn(async move {
                    sleep(pause).await;
                    let number = event.number;
                    let published =
                        world.published(number, Fate::Refused, aury_events::publish(event));
                    let _noted = published.await;
                    world.with(|inner| {
                        *inner.spreading.unfinished.get_mut(subscriber).unwrap() -= 1;
                    });
                });
                Ok(())
            }
            4 => {
                let (event, stray) = (own(), Stray::new(self));
                let number = event.number;
                let published = context.scope(async move {
                    let _stray = stray;
                    let publish = aury_events::publish(event);
                    world.published(number, Fate::Refused, publish).await
                });
                tokio::spawn(published).await.expect("it does not panic")
            }
            5 => {
                let mut tasks = JoinSet::new();
                for _ in 0..3 {
                    tasks.spawn(world.clone().spawned(bare(), bus.clone()));
                }
                tasks.join_all().await.into_iter().collect()
            }
            _ => {
                let event = bare();
                let stray = Stray::new(self);
                tokio::spawn(async move {
                    let _stray = stray;
                    sleep(pause).await;
                    let number = event.number;
                    world.published(number, Fate::StrayRefused, bus.publish(event)).await
                });
                Ok(())
            }
        }
    }
}

#[subscribe(concurrency = 2, retry(attempts = 2, delay = "100ms"))]
async fn spreads(
    event: &Happened,
    context: Context,
    bus: EventBus,
    State(world): State<World>,
) -> Result<(), anyhow::Error> {
    world.spread("spreads", 1, &context, &bus).await?;
    Ok(world.work("spreads", &[event.number], false).await?)
}

#[subscribe(concurrency = 3, retry(attempts = 2, delay = "5s"))]
async fn follows(
    event: &Followed,
    context: Context,
    bus: EventBus,
    State(world): State<World>,
) -> Result<(), anyhow::Error> {
    let cause = context.causation_id().map(|id| id.to_string());
    if cause != event.cause {
        let wrong = format!("{} is caused by {:?}, and says {cause:?}", event.number, event.cause);
        world.with(|inner| inner.spreading.wrong.push(wrong));
    }
    if event.depth < DEPTH && world.with(|inner| inner.random.one_in(3)) {
        world.spread("follows", event.depth + 1, &context, &bus).await?;
    }
    Ok(world.work("follows", &[event.number], false).await?)
}
