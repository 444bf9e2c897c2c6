//! Subscribers of every kind under random failures, and an account of what became of each event.
//!
//! A run is decided by its seed alone. One that fails says which it was; `ORACLE_SEED=7 cargo test oracle` runs it again.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use aury_events::{CircuitBreaker, Failure, prelude::*};
use aury_events_backends::Envelope;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    raw::{envelope, raw},
    support::manager_of,
};

const SEEDS: u64 = 32;

/// From start to shutdown of a manager.
const LIVES: u32 = 4;

const STEPS_OF_A_LIFE: u32 = 60;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "oracle.happened")]
struct Happened {
    #[event(key)]
    key: u64,
    number: u32,
}

/// SplitMix64: a few lines, and the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What the subscribers of one manager share.
#[derive(Clone)]
struct World(Arc<Mutex<Inner>>);

struct Inner {
    random: Random,
    /// By subscriber and number.
    handled: HashMap<(&'static str, u32), u32>,
    discarded: HashMap<(&'static str, u32), u32>,
    /// The first attempts of the ordered subscriber, by key.
    begun: HashMap<u64, Vec<u32>>,
}

impl World {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    /// Does what chance says, with events that are handled together.
    async fn work(
        &self,
        subscriber: &'static str,
        numbers: &[u32],
        can_hang: bool,
    ) -> Result<(), Failure> {
        let (pause, what) = self.with(|inner| (inner.random.below(300), inner.random.below(20)));
        sleep(Duration::from_millis(pause)).await;
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
const SUBSCRIBERS: [&str; 6] = ["patient", "hasty", "many", "in_order", "once", "in_batches"];

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

/// One manager: started, fed, shut down, and its account settled.
async fn life(name: &str, random: &mut Random) {
    let world = World(Arc::new(Mutex::new(Inner {
        random: Random(random.below(u64::MAX)),
        handled: HashMap::new(),
        discarded: HashMap::new(),
        begun: HashMap::new(),
    })));
    let (builder, _) = manager_of(module_path!());
    let (mut builder, raw) = raw(builder.state(world.clone()), name);
    if random.one_in(3) {
        let breaker = CircuitBreaker::new(3, Duration::from_secs(1)).pause(Duration::from_secs(3));
        builder = builder.circuit_breaker("*", breaker);
    }
    // Some are cut off in the middle of their work.
    let limit =
        Duration::from_millis(if random.one_in(3) { random.below(5_000) + 1 } else { 3_600_000 });
    let config = BusConfig::backend("raw").url(format!("raw://{name}")).shutdown_timeout(limit);
    let events = builder.bus("default", config).start().await.unwrap();

    let mut published: Vec<(Envelope, u64, u32)> = Vec::new();
    for _ in 0..STEPS_OF_A_LIFE {
        if random.one_in(3) {
            sleep(Duration::from_millis(random.below(2_000))).await;
        } else if random.one_in(4) && !published.is_empty() {
            let copied = published[random.below(published.len() as u64) as usize].clone();
            raw.publish(copied.0.clone()).await;
            published.push(copied);
        } else {
            let (key, number) = (random.below(5), published.len() as u32);
            let envelope = envelope(Happened { key, number });
            raw.publish(envelope.clone()).await;
            published.push((envelope, key, number));
        }
    }
    let left: HashMap<String, u64> = match events.shutdown().await {
        Ok(()) => HashMap::new(),
        Err(error) => error.left().iter().cloned().collect(),
    };
    let letters = events.default_bus().dead_letters().list().await.unwrap();
    settle_account(&world, &published, &left, &letters);
}

fn settle_account(
    world: &World,
    published: &[(Envelope, u64, u32)],
    left: &HashMap<String, u64>,
    letters: &[aury_events::DeadLetter],
) {
    let mut copies: HashMap<u32, u32> = HashMap::new();
    let mut by_key: HashMap<u64, Vec<u32>> = HashMap::new();
    for (_, key, number) in published {
        *copies.entry(*number).or_default() += 1;
        by_key.entry(*key).or_default().push(*number);
    }
    world.with(|inner| {
        for subscriber in SUBSCRIBERS {
            let id = format!("{}::{subscriber}", module_path!());
            let mut open = 0;
            for (&number, &copies) in &copies {
                let of = |counts: &HashMap<_, u32>| counts.get(&(subscriber, number)).copied().unwrap_or(0);
                let (handled, discarded) = (of(&inner.handled), of(&inner.discarded));
                let dead = letters
                    .iter()
                    .filter(|letter| *letter.subscriber == *id)
                    .filter(|letter| {
                        let event: &Happened = &letter.envelope.payload().decode().unwrap();
                        event.number == number
                    })
                    .count() as u32;
                let ended = handled + discarded + dead;
                let account = format!("event {number} at {subscriber}: {copies} copies, {handled} handled, {discarded} discarded, {dead} dead");
                assert!(ended <= copies, "{account}");
                if subscriber == "once" {
                    assert!(handled <= 1, "{account}");
                    // The copies of what was handled are skipped.
                    if handled == 1 {
                        continue;
                    }
                }
                open += u64::from(copies - ended);
            }
            let left = left.get(&id).copied().unwrap_or(0);
            if subscriber == "once" {
                assert!(open <= left, "{subscriber}: {open} events without an end, {left} left");
            } else {
                assert_eq!(open, left, "{subscriber}: events without an end, and those left");
            }
        }
        for (key, begun) in &inner.begun {
            let expected = &by_key[key];
            let is_complete = left.is_empty();
            assert!(!is_complete || begun.len() == expected.len(), "key {key}");
            assert_eq!(begun[..], expected[..begun.len()], "the order of key {key}");
        }
    });
}

#[test]
fn whatever_happens_every_event_comes_to_one_end() {
    let seeds = match std::env::var("ORACLE_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("ORACLE_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    for seed in seeds {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build();
            runtime.unwrap().block_on(async {
                let mut random = Random(seed);
                for number in 0..LIVES {
                    life(&format!("oracle-{seed}-{number}"), &mut random).await;
                }
            });
        };
        assert!(
            catch_unwind(AssertUnwindSafe(run)).is_ok(),
            "see above; ORACLE_SEED={seed} runs it again"
        );
    }
}
