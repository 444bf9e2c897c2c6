//! What a bus does for all of its subscribers on the server, from time to time.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use redis::Value;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    inbox::Intake,
    publisher::Publisher,
    server::{Failure, join_all, known_events, subscribers},
    shared::Shared,
    subscription::Subscription,
};
use crate::{
    config::Unroutable,
    envelope::EventName,
    kit::{NobodyListens, lock, write},
};

const PROMOTE: &str = include_str!("scripts/promote.lua");
const TRIM: &str = include_str!("scripts/trim.lua");

/// How often new streams are looked for.
const DISCOVER_EVERY: Duration = Duration::from_secs(1);

/// The longest time between two looks at the delayed events.
const PROMOTE_EVERY: Duration = Duration::from_millis(500);

/// How long a delayed event waits for another try that the server refuses for its stream.
const REFUSED_AGAIN: Duration = Duration::from_secs(5);

/// How many delayed events are moved in one go.
const PROMOTED_AT_ONCE: usize = 200;

/// About how many entries a stream keeps that has neither a group nor a reader: nobody has subscribed to it yet.
const UNREAD: usize = 100_000;

const NOBODY: &str = "no subscription covers its stream, which keeps about the latest 100,000 of them; one that is made later begins later";

/// Discovers streams, moves delayed events whose time has come, and trims.
#[derive(Debug)]
pub(super) struct Caretaker {
    pub(super) shared: Arc<Shared>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) subscriptions: Arc<RwLock<Vec<Arc<Subscription>>>>,
    pub(super) trim_every: Duration,
    pub(super) unheard: Unheard,
}

/// The events whose streams nobody reads.
#[derive(Debug)]
pub(super) struct Unheard {
    nobody_listens: NobodyListens,
    /// Since when, for each of them.
    since: Mutex<HashMap<EventName, Instant>>,
}

/// How many of them are remembered.
const REMEMBERED: usize = 1024;

impl Unheard {
    /// It is known too late for an error.
    pub(super) fn new(policy: Unroutable) -> Self {
        let policy = if policy == Unroutable::Error { Unroutable::Warn } else { policy };
        Self { nobody_listens: NobodyListens::new(policy), since: Mutex::default() }
    }

    /// Takes note of whether a stream is read. One that is new is given `patience`: readers by pattern have to find it.
    fn note(&self, event: &EventName, is_read: bool, patience: Duration) {
        let mut since = lock(&self.since);
        if is_read {
            since.remove(event);
            return;
        }
        if since.len() == REMEMBERED && !since.contains_key(event) {
            return;
        }
        if since.entry(event.clone()).or_insert_with(Instant::now).elapsed() >= patience {
            drop(since);
            // With this policy, it is no error.
            let _ = self.nobody_listens.note(event.as_str(), NOBODY);
        }
    }
}

impl Caretaker {
    /// Goes on for ever; to be aborted in the end.
    pub(super) async fn run(&self) -> Infallible {
        tokio::join!(self.discover_always(), self.promote_always(), self.trim_always()).0
    }

    async fn discover_always(&self) -> Infallible {
        let mut ticks = interval(DISCOVER_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.shared.look_for_room().await;
            self.note(self.publisher.announce_all().await);
            self.note(self.discover().await);
        }
    }

    async fn discover(&self) -> Result<(), Failure> {
        let looking: Vec<_> = {
            let mut all = write(&self.subscriptions);
            all.retain(|it| it.inbox.intake() != Intake::Over);
            all.iter().filter(|it| it.is_of_pattern()).map(Arc::clone).collect()
        };
        if looking.is_empty() {
            return Ok(());
        }
        for event in known_events(&self.shared.server, &self.shared.keys).await? {
            for subscription in &looking {
                let stream = self.shared.keys.stream(event.as_str());
                self.note_of(&stream, subscription.discover(&event).await)?;
            }
        }
        Ok(())
    }

    async fn promote_always(&self) -> Infallible {
        loop {
            let wait = match self.promote().await {
                Ok(next) => next.unwrap_or(PROMOTE_EVERY).min(PROMOTE_EVERY),
                Err(failure) => {
                    self.note(Err(failure));
                    PROMOTE_EVERY
                }
            };
            // Two processes that wait for the same event need not both hurry.
            sleep(wait.max(Duration::from_millis(10))).await;
        }
    }

    /// Moves what is due; gives the time until the next is.
    async fn promote(&self) -> Result<Option<Duration>, Failure> {
        let Shared { server, keys, .. } = &*self.shared;
        let mut promote = redis::cmd("EVAL");
        promote.arg(PROMOTE).arg(2).arg(keys.delayed()).arg(keys.set_aside());
        promote.arg(PROMOTED_AT_ONCE).arg(keys.prefix()).arg(REFUSED_AGAIN.as_millis() as u64);
        let answer = redis::from_redis_value(server.ask(&promote).await?);
        let (millis, troubles): (i64, Vec<(Vec<u8>, String)>) =
            answer.map_err(redis::RedisError::from)?;
        for (what, refusal) in troubles {
            self.say_not_promoted(&String::from_utf8_lossy(&what), &refusal);
        }
        Ok(u64::try_from(millis).ok().map(Duration::from_millis))
    }

    #[cold]
    fn say_not_promoted(&self, what: &str, refusal: &str) {
        let Shared { bus, keys, is_upkeep_said, .. } = &*self.shared;
        // Of what is set aside, each is said: it is said once.
        if !refusal.is_empty() && !is_upkeep_said.is_due(format!("delayed {what}: {refusal}")) {
            return;
        }
        if refusal.is_empty() {
            tracing::warn!(
                bus = &**bus,
                begins = what.escape_debug().to_string(),
                set = keys.delayed(),
                aside = keys.set_aside(),
                "a member of the delayed events is no event: it was set aside, and the others go on"
            );
        } else {
            tracing::warn!(
                bus = &**bus,
                stream = what,
                refusal,
                "Redis refuses a delayed event for its stream: it is tried again in {REFUSED_AGAIN:?}, and the others \
                 go on"
            );
        }
    }

    async fn trim_always(&self) -> Infallible {
        let mut next = Instant::now() + self.trim_every;
        loop {
            tokio::time::sleep_until(next).await;
            next = Instant::now() + self.trim_every;
            self.note(self.trim().await);
        }
    }

    /// Trims all streams, unless another process does it this time. One that cannot be trimmed stops no other.
    async fn trim(&self) -> Result<(), Failure> {
        let Shared { server, keys, .. } = &*self.shared;
        let mut lock = redis::cmd("SET");
        lock.arg(keys.trimming()).arg(1).arg("NX").arg("PX");
        lock.arg((self.trim_every / 2).as_millis() as u64);
        match server.ask(&lock).await {
            Ok(Value::Nil) => return Ok(()),
            // It only spares the server that several do it at once. A full one refuses it, and needs the trimming most.
            Ok(_) | Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure),
        }
        // First the streams, then the subscribers: one that subscribes in between finds all of these streams by itself.
        let events = known_events(server, keys).await?;
        let subscribers = subscribers(server, keys).await?;
        for event in events {
            let stream = keys.stream(event.as_str());
            self.note_of(&stream, self.join_and_trim(&event, &subscribers).await)?;
        }
        for (subscription, _) in subscribers {
            if let Some((_, group)) = subscription.split_once(' ') {
                let retries = keys.retry(group);
                self.note_of(
                    &retries,
                    self.trim_stream(&retries, &keys.readers("")).await.map(drop),
                )?;
            }
        }
        Ok(())
    }

    async fn join_and_trim(
        &self,
        event: &EventName,
        subscribers: &[(String, u64)],
    ) -> Result<(), Failure> {
        let Shared { server, keys, .. } = &*self.shared;
        let key = keys.stream(event.as_str());
        join_all(server, &key, event, subscribers).await?;
        let is_read = self.trim_stream(&key, &keys.readers(event.as_str())).await?;
        self.unheard.note(event, is_read, self.shared.min_idle);
        Ok(())
    }

    /// What the server refuses of one stream stops no other; it is only said.
    fn note_of(&self, stream: &str, outcome: Result<(), Failure>) -> Result<(), Failure> {
        match outcome {
            Err(failure) if !failure.is_passing() => {
                if self.shared.is_upkeep_said.is_due(format!("{stream}: {failure}")) {
                    tracing::warn!(
                        bus = &*self.shared.bus,
                        stream,
                        error = %failure,
                        "Redis refuses the upkeep of a stream"
                    );
                }
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Gives whether somebody reads it, if there is anything to be read.
    async fn trim_stream(&self, key: &str, readers: &str) -> Result<bool, Failure> {
        let mut trim = redis::cmd("EVAL");
        trim.arg(TRIM).arg(2).arg(key).arg(readers);
        trim.arg(self.shared.keys.alive("")).arg(UNREAD);
        Ok(self.shared.server.ask(&trim).await? != Value::Int(0))
    }

    /// What fails is tried again the next time; that the server is away is said elsewhere.
    fn note(&self, outcome: Result<(), Failure>) {
        if let Err(failure) = outcome
            && !failure.is_passing()
            && self.shared.is_upkeep_said.is_due(failure.to_string())
        {
            tracing::warn!(bus = &*self.shared.bus, error = %failure, "Redis refuses the upkeep of streams");
        }
    }
}
