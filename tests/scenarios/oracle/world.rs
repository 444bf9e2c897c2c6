//! What subscribers do, and a note of it.

use std::{
    collections::HashMap,
    panic::resume_unwind,
    sync::{Arc, Mutex},
    time::Duration,
};

use aury_events::{Failure, prelude::*};
use tokio::time::{Instant, sleep};

use super::{Happened, Random, spreading::Spreading};

/// What the subscribers of one manager share.
#[derive(Clone)]
pub(super) struct World(Arc<Mutex<Inner>>);

pub(super) struct Inner {
    pub(super) random: Random,
    /// By subscriber and number.
    pub(super) handled: HashMap<(&'static str, u32), u32>,
    pub(super) discarded: HashMap<(&'static str, u32), u32>,
    /// The first attempts of the ordered subscriber, by key.
    pub(super) begun: HashMap<u64, Vec<u32>>,
    pub(super) spreading: Spreading,
    /// When the shutdown ends, at the latest.
    limit: Option<Instant>,
    /// Calls that ended then, by subscriber.
    pub(super) late: HashMap<&'static str, u64>,
}

impl World {
    pub(super) fn new(random: Random) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            random,
            handled: HashMap::new(),
            discarded: HashMap::new(),
            begun: HashMap::new(),
            spreading: Spreading::default(),
            limit: None,
            late: HashMap::new(),
        })))
    }

    /// A shutdown begins that takes so long at most.
    pub(super) fn ends_within(&self, limit: Duration) {
        self.with(|inner| inner.limit = Some(Instant::now() + limit));
    }

    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    /// Does what chance says, with events that are handled together.
    pub(super) async fn work(
        &self,
        subscriber: &'static str,
        numbers: &[u32],
        can_hang: bool,
    ) -> Result<(), Failure> {
        let (pause, what) = self.with(|inner| (inner.random.below(300), inner.random.below(20)));
        sleep(Duration::from_millis(pause)).await;
        self.with(|inner| {
            if inner.limit.is_some_and(|limit| limit <= Instant::now()) {
                *inner.late.entry(subscriber).or_default() += numbers.len() as u64;
            }
        });
        match what {
            0..=3 => return Err(Failure::retry_after("in a moment", Duration::from_millis(pause))),
            4 => return Err(Failure::retry_after("later", Duration::from_secs(5))),
            5 => return Err(Failure::dead_letter("never")),
            6 => {
                self.note(subscriber, numbers, |inner| &mut inner.discarded);
                return Err(Failure::discard("not worth it"));
            }
            // Without the hook that prints panics.
            7 | 8 => resume_unwind(Box::new("panicked")),
            9 if can_hang => std::future::pending().await,
            _ => {}
        }
        self.note(subscriber, numbers, |inner| &mut inner.handled);
        Ok(())
    }

    fn note(
        &self,
        subscriber: &'static str,
        numbers: &[u32],
        of: impl FnOnce(&mut Inner) -> &mut HashMap<(&'static str, u32), u32>,
    ) {
        self.with(|inner| {
            let counts = of(inner);
            for &number in numbers {
                *counts.entry((subscriber, number)).or_default() += 1;
            }
        });
    }
}

/// The subscribers of this module, by the ends of their ids.
pub(super) const SUBSCRIBERS: [&str; 6] =
    ["patient", "hasty", "many", "in_order", "once", "in_batches"];

macro_rules! subscribers {
    ($($name:ident, $can_hang:literal, [$($options:tt)*];)*) => {$(
        #[subscribe($($options)*)]
        async fn $name(event: &Happened, State(world): State<World>) -> Result<(), anyhow::Error> {
            Ok(world.work(stringify!($name), &[event.number], $can_hang).await?)
        }
    )*};
}
subscribers! {
    patient, true, [retry(attempts = 3, delay = "5s"), timeout = "2s"];
    hasty, false, [retry(attempts = 4, delay = "100ms")];
    many, true, [concurrency = 8, retry = 2, timeout = "1s"];
    once, true, [idempotent, concurrency = 3, retry(attempts = 3, delay = "1s"), timeout = "1s"];
}

#[subscribe(concurrency = 4, ordered, retry(attempts = 3, delay = "1s"), timeout = "1s")]
async fn in_order(
    event: &Happened,
    context: Context,
    State(world): State<World>,
) -> Result<(), Failure> {
    if context.attempt() == 1 {
        world.with(|inner| inner.begun.entry(event.key).or_default().push(event.number));
    }
    world.work("in_order", &[event.number], true).await
}

#[subscribe(
    batch(max = 5, wait = "200ms"),
    concurrency = 2,
    retry(attempts = 2, delay = "100ms"),
    timeout = "1s"
)]
async fn in_batches(events: &[Arc<Happened>], State(world): State<World>) -> Result<(), Failure> {
    let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
    world.work("in_batches", &numbers, true).await
}
