//! Dead letters: a stream for each subscriber of a service, `{prefix}:dead-letters:{service}/{subscriber}`.
//!
//! An entry has the fields `name`, `reason`, `attempts` and `time` (milliseconds since the start of 1970, UTC), and
//! `event`, the envelope as it is written to the wire; or instead of that `raw`, of a message that is none. What is
//! stored beyond the bounds of the configuration, in number or bytes, pushes out the oldest letters of its subscriber.
//! How many bytes a stream has is counted beside it, in `{prefix}:dead-letter-bytes:{service}/{subscriber}`.

mod reader;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::{Cmd, Value};
use tokio::time::{Instant, sleep};

use self::reader::Reader;
use super::{
    codec::Codec,
    link::{Commands, Connection, Link},
    names::LetterKeys,
};
use crate::{
    config::BackendConfig,
    dead_letters::{DeadLetter, DeadLetterReader, DeadLetterStore},
    envelope::EventName,
    error::BackendError,
    kit::{OnceAMinute, subscriber_name},
    maybe_ready::BoxFuture,
    reason::shortened_reason,
};

const BURY: &str = include_str!("scripts/bury.lua");
const FORGET: &str = include_str!("scripts/forget.lua");

/// How much of an undecodable message is kept, in bytes.
pub(crate) const MAX_RAW: usize = 64 * 1024;

/// The store of what subscribers could not handle. Clones share the connection and the count of what was dropped.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetters {
    link: Arc<Link<Commands>>,
    prefix: Arc<str>,
    service: Arc<str>,
    codec: Codec,
    limit: Duration,
    max_count: usize,
    max_bytes: usize,
    replay: Arc<dyn Replay>,
    dropped: Arc<AtomicU64>,
    /// Of which subscribers it has been said that letters were dropped.
    is_said: Arc<OnceAMinute>,
}

/// How a letter comes back to its subscriber.
pub(crate) trait Replay: fmt::Debug + Send + Sync {
    /// The script that does it, for the letter of that id. It gives 1 when the letter has been handed over and removed,
    /// 0 when it was not there, -1 when nobody is there to take it, and 2 when it is under way to somebody who removes
    /// it within the limit.
    fn script(&self, letters: &LetterKeys, id: &str, subscriber: &str, limit: Duration) -> Cmd;

    /// The command that tells how many listen to what is under way to a subscriber, as its second value.
    fn listeners(&self, _subscriber: &str) -> Option<Cmd> {
        None
    }
}

/// A message that is no event.
#[derive(Debug)]
pub(crate) struct Undecodable {
    /// What the channel or stream says it should be.
    pub(crate) name: EventName,
    pub(crate) raw: Vec<u8>,
    /// Who should have been given it.
    pub(crate) subscriber: Arc<str>,
    pub(crate) reason: String,
}

/// The entry of a group's stream that becomes a dead letter: acknowledged in the same step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivered<'a> {
    pub(crate) stream: &'a str,
    pub(crate) group: &'a str,
    pub(crate) id: &'a str,
}

impl DeadLetters {
    pub(crate) fn new(
        link: Arc<Link<Commands>>,
        service: Arc<str>,
        codec: Codec,
        prefix: &str,
        config: &BackendConfig,
        replay: impl Replay + 'static,
    ) -> Self {
        Self {
            link,
            prefix: prefix.into(),
            service,
            codec,
            limit: config.publish_timeout,
            max_count: config.dead_letter_max_count,
            max_bytes: config.dead_letter_max_bytes,
            replay: Arc::new(replay),
            dropped: Arc::default(),
            is_said: Arc::default(),
        }
    }

    /// How many letters were pushed out by those that this process has stored.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Stores a letter: it is there when the future completes.
    ///
    /// # Errors
    ///
    /// When the server has not confirmed it within the publish timeout. It may be there all the same, and also when the
    /// future is dropped.
    pub(crate) async fn store(&self, letter: &DeadLetter) -> Result<(), BackendError> {
        self.run_bury(&letter.subscriber, &self.bury(letter, None)?).await
    }

    /// Stores a message that could not be decoded, as [`store`](Self::store) does.
    pub(crate) async fn store_undecodable(&self, letter: &Undecodable) -> Result<(), BackendError> {
        self.run_bury(&letter.subscriber, &self.bury_undecodable(letter, None)).await
    }

    /// The script that stores a letter. What it answers goes to [`note_stored`](Self::note_stored).
    ///
    /// # Errors
    ///
    /// When the event cannot be written.
    pub(crate) fn bury(
        &self,
        letter: &DeadLetter,
        entry: Option<Delivered<'_>>,
    ) -> Result<Cmd, BackendError> {
        let DeadLetter { envelope, subscriber, reason, attempts, time, .. } = letter;
        let mut script = self.script(subscriber, entry);
        describe(&mut script, envelope.metadata().name(), reason, *attempts, *time);
        script.arg("event").arg(self.codec.encode(envelope)?);
        Ok(script)
    }

    /// The script that stores a message which could not be decoded, as [`bury`](Self::bury).
    pub(crate) fn bury_undecodable(
        &self,
        letter: &Undecodable,
        entry: Option<Delivered<'_>>,
    ) -> Cmd {
        let Undecodable { name, raw, subscriber, reason } = letter;
        let mut script = self.script(subscriber, entry);
        describe(&mut script, name, reason, 1, SystemTime::now());
        script.arg("raw").arg(&raw[..raw.len().min(MAX_RAW)]);
        script
    }

    fn script(&self, subscriber: &str, entry: Option<Delivered<'_>>) -> Cmd {
        let keys = self.keys(subscriber);
        let mut script = redis::cmd("EVAL");
        script.arg(BURY).arg(2 + usize::from(entry.is_some())).arg(&keys.letters).arg(&keys.bytes);
        if let Some(entry) = &entry {
            script.arg(entry.stream);
        }
        let (group, id) = entry.map_or(("", ""), |entry| (entry.group, entry.id));
        script.arg(self.max_count).arg(self.max_bytes).arg(group).arg(id);
        script
    }

    /// Takes note of what the script of [`bury`](Self::bury) has said: how many letters it has pushed out.
    pub(crate) fn note_stored(&self, subscriber: &str, said: &Value) {
        let Value::Int(dropped @ 1..) = *said else { return };
        let dropped = dropped.unsigned_abs();
        let in_all = self.dropped.fetch_add(dropped, Relaxed) + dropped;
        if !self.is_said.is_due(subscriber.to_owned()) {
            return;
        }
        tracing::warn!(
            subscriber,
            dropped_by_this_process = in_all,
            max_count = self.max_count,
            max_bytes = self.max_bytes,
            "there are too many dead letters: the oldest were dropped; raise EVENT_DEAD_LETTER_MAX_COUNT or \
             EVENT_DEAD_LETTER_MAX_BYTES, or replay and purge them sooner"
        );
    }

    async fn run_bury(&self, subscriber: &str, script: &Cmd) -> Result<(), BackendError> {
        let operation = || format!("store a dead letter of {subscriber}");
        let said = self.command(script, operation).await?;
        self.note_stored(subscriber, &said);
        Ok(())
    }

    fn keys(&self, subscriber: &str) -> LetterKeys {
        LetterKeys::new(&self.prefix, &subscriber_name(&self.service, subscriber))
    }

    async fn command(
        &self,
        command: &Cmd,
        operation: impl Fn() -> String,
    ) -> Result<Value, BackendError> {
        let send = |mut connection: Connection| async move {
            connection.send_packed_command(command).await?.extract_error()
        };
        self.link.run(operation, self.limit, send).await
    }

    /// Removes a letter that has been handed over.
    pub(crate) async fn remove(&self, subscriber: &str, id: &str) -> Result<bool, BackendError> {
        let keys = self.keys(subscriber);
        let mut forget = redis::cmd("EVAL");
        forget.arg(FORGET).arg(2).arg(&keys.letters).arg(&keys.bytes).arg(id);
        let operation = || format!("remove a dead letter of {subscriber}");
        Ok(self.command(&forget, operation).await? == Value::Int(1))
    }

    /// Waits until a letter that is under way has been removed by who has taken it.
    async fn taken(
        &self,
        letters: &LetterKeys,
        id: &str,
        operation: impl Fn() -> String,
    ) -> Result<bool, BackendError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&letters.letters).arg(id).arg(id);
        let mut wait = Duration::from_millis(2);
        let deadline = Instant::now() + self.limit;
        while Instant::now() < deadline {
            if self.command(&range, &operation).await? == Value::Array(Vec::new()) {
                return Ok(true);
            }
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(50));
        }
        Ok(false)
    }

    async fn replay(
        self,
        id: String,
        subscriber: Arc<str>,
        name: EventName,
    ) -> Result<bool, BackendError> {
        let operation = || format!("replay {name} to {subscriber}");
        let not_subscribed = || BackendError::not_subscribed(Arc::clone(&subscriber));
        let keys = self.keys(&subscriber);
        let script = self.replay.script(&keys, &id, &subscriber, self.limit);
        match self.command(&script, operation).await? {
            Value::Int(0) => return Ok(false),
            Value::Int(1) => return Ok(true),
            Value::Int(2) => {}
            _ => return Err(not_subscribed()),
        }
        if self.taken(&keys, &id, operation).await? {
            return Ok(true);
        }
        let listeners = match self.replay.listeners(&subscriber) {
            Some(listeners) => self.command(&listeners, operation).await?,
            None => Value::Nil,
        };
        match listeners {
            Value::Array(count) if count.get(1) != Some(&Value::Int(0)) => {
                Err(BackendError::timed_out(operation(), self.limit))
            }
            _ => Err(not_subscribed()),
        }
    }

    /// Reads the letters of these subscribers that are there now.
    pub(crate) async fn read(
        &self,
        subscribers: Box<[Arc<str>]>,
    ) -> Result<Box<dyn DeadLetterReader>, BackendError> {
        Ok(Box::new(Reader::open(self.clone(), subscribers).await?))
    }
}

/// The fields that every letter has.
fn describe(script: &mut Cmd, name: &EventName, reason: &str, attempts: u32, time: SystemTime) {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    script.arg("name").arg(name.as_str()).arg("reason").arg(shortened_reason(reason));
    script.arg("attempts").arg(attempts).arg("time").arg(millis);
}

impl DeadLetterStore for DeadLetters {
    fn replay(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        let name = letter.envelope.metadata().name().clone();
        let (id, subscriber) = (letter.token().to_owned(), Arc::clone(&letter.subscriber));
        Box::pin(self.clone().replay(id, subscriber, name))
    }

    fn purge(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        let (letters, id) = (self.clone(), letter.token().to_owned());
        let subscriber = Arc::clone(&letter.subscriber);
        Box::pin(async move { letters.remove(&subscriber, &id).await })
    }
}
