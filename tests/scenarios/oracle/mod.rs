//! Subscribers of every kind under random failures, and an account of what became of each event.
//!
//! A run is decided by its seed alone. One that fails says which it was; `ORACLE_SEED=7 cargo test oracle` runs it again.

mod account;
mod spreading;
mod world;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use aury_events::{CircuitBreaker, prelude::*};
use aury_events_backends::Envelope;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use self::{account::Account, world::World};
use crate::{
    raw::{Raw, envelope, raw},
    support::manager_of,
};

const SEEDS: u64 = 48;

/// With `AURY_LONG`.
const LONG_SEEDS: u64 = 400;

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

/// An event that was accepted.
struct Published {
    envelope: Envelope,
    key: u64,
    number: u32,
}

/// Publishes one event, and keeps it in the list if it was accepted.
async fn step(raw: &Raw, random: &mut Random, published: &mut Vec<Published>) {
    let (envelope, key, number) = if random.one_in(4) && !published.is_empty() {
        let copied = &published[random.below(published.len() as u64) as usize];
        (copied.envelope.clone(), copied.key, copied.number)
    } else {
        let (key, number) = (random.below(5), published.len() as u32);
        (envelope(Happened { key, number }), key, number)
    };
    if raw.try_publish(envelope.clone()).await.is_ok() {
        published.push(Published { envelope, key, number });
    }
}

/// One manager: started, fed, shut down, and its account settled.
async fn life(name: &str, random: &mut Random) {
    let world = World::new(Random(random.below(u64::MAX)));
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
    let bus = events.default_bus();

    let mut published = Vec::new();
    // Some are shut down while the application goes on publishing.
    let until_shutdown = if random.one_in(2) { STEPS_OF_A_LIFE } else { random.below(60) as u32 };
    let mut shutdown = None;
    for number in 0..STEPS_OF_A_LIFE {
        if number == until_shutdown {
            let (events, world) = (events.clone(), world.clone());
            shutdown = Some(tokio::spawn(async move {
                world.ends_within(limit);
                events.shutdown().await
            }));
        }
        if random.one_in(3) {
            sleep(Duration::from_millis(random.below(2_000))).await;
        } else {
            step(&raw, random, &mut published).await;
        }
    }
    let ended = match shutdown {
        Some(shutdown) => shutdown.await.unwrap(),
        None => {
            world.ends_within(limit);
            events.shutdown().await
        }
    };
    let left: HashMap<String, u64> = match ended {
        Ok(()) => HashMap::new(),
        Err(error) => error.left().iter().cloned().collect(),
    };
    world.has_no_stray_task().await;
    let letters = bus.dead_letters().list().await.unwrap();
    Account { world: &world, left: &left, letters: &letters }.settle(&published);
}

#[test]
fn whatever_happens_every_event_comes_to_one_end() {
    let seeds = match std::env::var("ORACLE_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("ORACLE_SEED is a number");
            seed..seed + 1
        }
        Err(_) if std::env::var_os("AURY_LONG").is_some() => 0..LONG_SEEDS,
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
