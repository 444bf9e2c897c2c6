//! Signs of life, whatever the application's runtime does.
//!
//! A handler that blocks its thread may hold up every task of the application's runtime, for as long as it runs. Its
//! process must not be taken for dead meanwhile. So signs of life are given on a runtime of their own, over a connection
//! of their own.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use redis::RedisError;
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    kit::{background, lock},
    redis::connection::{Connection, OnPush, RedisClient, within},
};

const ALIVE: &str = include_str!("scripts/alive.lua");

/// Gives the signs of life of all consumers of a bus in this process, until it is dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    consumers: Consumers,
    beating: JoinHandle<()>,
}

/// Those that have ended are let go of with the next beat.
type Consumers = Arc<Mutex<Vec<Weak<Consumer>>>>;

#[derive(Debug)]
struct Consumer {
    /// Its sign of life on the server.
    key: String,
    /// Since when each sign was taken, promptly.
    steady_since: Mutex<Instant>,
    has_lapsed: AtomicBool,
}

/// The sign of life of one consumer. It expires on the server some time after this value has gone.
#[derive(Debug)]
pub(super) struct SignOfLife(Arc<Consumer>);

impl SignOfLife {
    /// For how long each sign was taken, promptly.
    pub(super) fn steady_for(&self) -> Duration {
        lock(&self.0.steady_since).elapsed()
    }

    /// Whether it had expired since this was asked last, so that others may have taken the consumer for dead.
    pub(super) fn has_lapsed(&self) -> bool {
        self.0.has_lapsed.swap(false, SeqCst)
    }
}

impl Pulse {
    /// Gives signs of life four times in the idle time, after which a consumer without one is dead.
    pub(super) fn new(client: RedisClient, min_idle: Duration) -> Self {
        let consumers = Consumers::default();
        let beating = beat(client, Arc::clone(&consumers), min_idle);
        let runtime = background().unwrap_or_else(|error| {
            tracing::warn!(%error, "no thread for signs of life: they depend on the application's runtime");
            Handle::current()
        });
        Self { consumers, beating: runtime.spawn(beating) }
    }

    /// From now on, gives the sign of life that is this key of the server.
    pub(super) fn keep(&self, key: String) -> SignOfLife {
        let consumer = Arc::new(Consumer {
            key,
            steady_since: Mutex::new(Instant::now()),
            has_lapsed: AtomicBool::new(false),
        });
        lock(&self.consumers).push(Arc::downgrade(&consumer));
        SignOfLife(consumer)
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

/// Goes on for ever; to be aborted in the end.
async fn beat(client: RedisClient, consumers: Consumers, min_idle: Duration) {
    let every = min_idle / 4;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    loop {
        ticks.tick().await;
        let alive: Vec<_> = {
            let mut consumers = lock(&consumers);
            consumers.retain(|it| it.strong_count() > 0);
            consumers.iter().filter_map(Weak::upgrade).collect()
        };
        if alive.is_empty() {
            connection = None;
            continue;
        }
        let asked = Instant::now();
        let given = within(min_idle, give(&client, &mut connection, &alive, min_idle)).await;
        if let Err(error) = &given {
            // That the server is away, or refuses, is said by those who have more to ask of it.
            tracing::debug!(%error, "no sign of life could be given");
            connection = None;
        }
        if given.is_err() || asked.elapsed() > every {
            alive.iter().for_each(|it| *lock(&it.steady_since) = Instant::now());
        }
    }
}

async fn give(
    client: &RedisClient,
    connection: &mut Option<Connection>,
    consumers: &[Arc<Consumer>],
    min_idle: Duration,
) -> Result<(), RedisError> {
    let connection = match connection {
        Some(connection) if !connection.has_ended() => connection,
        _ => {
            let on_push: OnPush = Arc::new(|_| ());
            let opened = client.open(&on_push).await;
            let opened = opened.map_err(|error| std::io::Error::other(error.into_cause()))?;
            connection.insert(opened)
        }
    };
    let mut signs = redis::pipe();
    for consumer in consumers {
        signs.cmd("EVAL").arg(ALIVE).arg(1).arg(&consumer.key).arg(min_idle.as_millis() as u64);
    }
    let were_alive: Vec<bool> = signs.query_async(&mut **connection).await?;
    for (consumer, was_alive) in consumers.iter().zip(were_alive) {
        if !was_alive {
            consumer.has_lapsed.store(true, SeqCst);
        }
    }
    Ok(())
}
