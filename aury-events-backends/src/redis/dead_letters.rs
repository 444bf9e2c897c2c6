//! Dead letters, in the stream `{prefix}dead-letters`.
//!
//! An entry has the fields `name`, `service`, `subscriber`, `reason`, `attempts` and `time` (milliseconds since the start
//! of 1970, UTC), and `event`, the envelope as it is written to the wire; or instead of that `raw`, of a message that is
//! none. One without `service` is from before there was that field, and belongs to whoever asks. The stream keeps about
//! the latest ten thousand.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::{
    Cmd, FromRedisValue, RedisError, Value,
    streams::{StreamId, StreamRangeReply},
};
use tokio::time::{Instant, sleep};

use super::{
    codec::Codec,
    link::{Commands, Connection, Link},
};
use crate::{
    config::BackendConfig,
    dead_letters::{DeadLetter, DeadLetterReader, DeadLetterStore},
    envelope::{Envelope, EventName, Metadata, Payload},
    error::BackendError,
    maybe_ready::BoxFuture,
    reason::shortened_reason,
};

/// About how many dead letters are kept.
const MAX_LETTERS: usize = 10_000;

/// How many are read at a time.
const PAGE: usize = 100;

/// How much of an undecodable message is kept, in bytes.
pub(crate) const MAX_RAW: usize = 64 * 1024;

/// The store of what subscribers could not handle. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetters {
    link: Arc<Link<Commands>>,
    key: Arc<str>,
    service: Arc<str>,
    codec: Codec,
    limit: Duration,
    replay: Arc<dyn Replay>,
}

/// How a letter comes back to its subscriber.
pub(crate) trait Replay: fmt::Debug + Send + Sync {
    /// The script that does it, for the letter of that id in the stream `letters`. It gives 1 when the letter has been
    /// handed over and removed, 0 when it was not there, -1 when nobody is there to take it, and 2 when it is under way
    /// to somebody who removes it within the limit.
    fn script(&self, letters: &str, id: &str, subscriber: &str, limit: Duration) -> Cmd;

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

impl DeadLetters {
    pub(crate) fn new(
        link: Arc<Link<Commands>>,
        service: Arc<str>,
        codec: Codec,
        prefix: &str,
        config: &BackendConfig,
        replay: impl Replay + 'static,
    ) -> Self {
        let key = format!("{prefix}dead-letters").into();
        let replay = Arc::new(replay);
        Self { link, key, service, codec, limit: config.publish_timeout, replay }
    }

    /// Stores a letter: it is there when the future completes.
    ///
    /// # Errors
    ///
    /// When the server has not confirmed it within the publish timeout. It may be there all the same, and also when the
    /// future is dropped.
    pub(crate) async fn store(&self, letter: &DeadLetter) -> Result<(), BackendError> {
        let DeadLetter { envelope, subscriber, reason, attempts, time, .. } = letter;
        let mut entry =
            self.entry(envelope.metadata().name(), subscriber, reason, *attempts, *time);
        entry.arg("event").arg(self.codec.encode(envelope)?);
        self.add(entry).await
    }

    /// Stores a message that could not be decoded, as [`store`](Self::store) does.
    pub(crate) async fn store_undecodable(&self, letter: &Undecodable) -> Result<(), BackendError> {
        let Undecodable { name, raw, subscriber, reason } = letter;
        let mut entry = self.entry(name, subscriber, reason, 1, SystemTime::now());
        entry.arg("raw").arg(&raw[..raw.len().min(MAX_RAW)]);
        self.add(entry).await
    }

    fn entry(
        &self,
        name: &EventName,
        subscriber: &str,
        reason: &str,
        attempts: u32,
        time: SystemTime,
    ) -> Cmd {
        let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let mut entry = redis::cmd("XADD");
        entry.arg(&*self.key).arg("MAXLEN").arg("~").arg(MAX_LETTERS).arg("*");
        entry
            .arg("name")
            .arg(name.as_str())
            .arg("service")
            .arg(&*self.service)
            .arg("subscriber")
            .arg(subscriber)
            .arg("reason")
            .arg(shortened_reason(reason));
        entry.arg("attempts").arg(attempts).arg("time").arg(millis);
        entry
    }

    async fn add(&self, entry: Cmd) -> Result<(), BackendError> {
        self.command(&entry, || format!("store a dead letter in {}", self.key)).await.map(drop)
    }

    async fn command(
        &self,
        command: &Cmd,
        operation: impl Fn() -> String,
    ) -> Result<redis::Value, BackendError> {
        let send = |mut connection: Connection| async move {
            connection.send_packed_command(command).await?.extract_error()
        };
        self.link.run(operation, self.limit, send).await
    }

    /// Removes a letter that has been handed over.
    pub(crate) async fn remove(&self, id: &str) -> Result<bool, BackendError> {
        let mut delete = redis::cmd("XDEL");
        delete.arg(&*self.key).arg(id);
        let operation = || format!("remove a dead letter from {}", self.key);
        Ok(self.command(&delete, operation).await? != Value::Int(0))
    }

    /// Waits until a letter that is under way has been removed by who has taken it.
    async fn taken(&self, id: &str, operation: impl Fn() -> String) -> Result<bool, BackendError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&*self.key).arg(id).arg(id);
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
        let script = self.replay.script(&self.key, &id, &subscriber, self.limit);
        match self.command(&script, operation).await? {
            Value::Int(0) => return Ok(false),
            Value::Int(1) => return Ok(true),
            Value::Int(2) => {}
            _ => return Err(not_subscribed()),
        }
        if self.taken(&id, operation).await? {
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
        let mut last = redis::cmd("XREVRANGE");
        last.arg(&*self.key).arg("+").arg("-").arg("COUNT").arg(1);
        let end = self.page(&last).await?.into_iter().next().map(|entry| entry.id);
        let letters = self.clone();
        Ok(Box::new(Reader { letters, subscribers, start: "-".to_owned(), end }))
    }

    async fn page(&self, range: &Cmd) -> Result<Vec<StreamId>, BackendError> {
        let operation = || format!("read the dead letters in {}", self.key);
        let reply = self.command(range, operation).await?;
        let page = StreamRangeReply::from_redis_value(reply)
            .map_err(|error| BackendError::other(operation(), RedisError::from(error)))?;
        Ok(page.ids)
    }

    /// The letter in an entry, if it belongs to one of these subscribers of the service. Entries that are no dead
    /// letters are left out, with a warning.
    fn letter(&self, entry: &StreamId, subscribers: &[Arc<str>]) -> Option<DeadLetter> {
        let is_mine = |service: String| *service == *self.service;
        if !entry.get("service").is_none_or(is_mine) {
            return None;
        }
        let subscriber: Option<String> = entry.get("subscriber");
        let known = |subscriber: &String| subscribers.iter().find(|known| ***known == **subscriber);
        let letter = match &subscriber {
            Some(subscriber) => self.read_entry(entry, Arc::clone(known(subscriber)?)),
            None => None,
        };
        if letter.is_none() {
            tracing::warn!(stream = &*self.key, entry = entry.id, "not a dead letter");
        }
        letter
    }

    fn read_entry(&self, entry: &StreamId, subscriber: Arc<str>) -> Option<DeadLetter> {
        let name = EventName::parse(&entry.get::<String>("name")?).ok()?;
        let envelope = match entry.get::<Vec<u8>>("event") {
            Some(event) => self.codec.decode(&event, &name).ok()?,
            None => {
                let raw: Arc<[u8]> = entry.get::<Vec<u8>>("raw")?.into();
                Envelope::new(Metadata::new(name, 1, "", None), Payload::Json(raw))
            }
        };
        let time = UNIX_EPOCH + Duration::from_millis(entry.get("time")?);
        let (reason, attempts) = (entry.get("reason")?, entry.get("attempts")?);
        let letter = DeadLetter::recorded(envelope, subscriber, reason, attempts, time);
        Some(letter.kept_as(&*entry.id, Arc::new(self.clone())))
    }
}

impl DeadLetterStore for DeadLetters {
    fn replay(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        let name = letter.envelope.metadata().name().clone();
        let (id, subscriber) = (letter.token().to_owned(), Arc::clone(&letter.subscriber));
        Box::pin(self.clone().replay(id, subscriber, name))
    }

    fn purge(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        let (letters, id) = (self.clone(), letter.token().to_owned());
        Box::pin(async move { letters.remove(&id).await })
    }
}

/// Reads the letters that were there when it was opened.
struct Reader {
    letters: DeadLetters,
    subscribers: Box<[Arc<str>]>,
    /// What is still to be read, as a range of ids: from this one on,
    start: String,
    /// up to this one; `None` at the end.
    end: Option<String>,
}

impl Reader {
    async fn next(&mut self) -> Result<Vec<DeadLetter>, BackendError> {
        while let Some(end) = &self.end {
            let mut range = redis::cmd("XRANGE");
            range.arg(&*self.letters.key).arg(&self.start).arg(end).arg("COUNT").arg(PAGE);
            let entries = self.letters.page(&range).await?;
            match entries.last() {
                Some(last) if entries.len() == PAGE => self.start = format!("({}", last.id),
                _ => self.end = None,
            }
            let letter = |entry| self.letters.letter(entry, &self.subscribers);
            let page: Vec<_> = entries.iter().filter_map(letter).collect();
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }
}

impl DeadLetterReader for Reader {
    fn next_page(&mut self) -> BoxFuture<'_, Result<Vec<DeadLetter>, BackendError>> {
        Box::pin(self.next())
    }
}
