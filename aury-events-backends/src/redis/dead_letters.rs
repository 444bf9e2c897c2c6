//! Dead letters, in the stream `{prefix}dead-letters`.
//!
//! An entry has the fields `name`, `subscriber`, `reason`, `attempts` and `time` (milliseconds since the start of 1970,
//! UTC), and `event`, the envelope as it is written to the wire; or instead of that `raw`, of a message that is none.
//! The stream keeps about the latest ten thousand.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::{
    Cmd, FromRedisValue, RedisError,
    streams::{StreamId, StreamRangeReply},
};

use super::{
    codec::Codec,
    link::{Commands, Link},
};
use crate::{
    config::BackendConfig,
    delivery::DeadLetter,
    envelope::{Envelope, EventName, Metadata, Payload},
    error::BackendError,
};

/// About how many dead letters are kept.
const MAX_LETTERS: usize = 10_000;

/// How many are read at a time.
const PAGE: usize = 500;

/// The longest reason that is kept, in bytes.
const MAX_REASON: usize = 4 * 1024;

/// How much of an undecodable message is kept, in bytes.
pub(crate) const MAX_RAW: usize = 64 * 1024;

/// The store of what subscribers could not handle.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    link: Arc<Link<Commands>>,
    key: String,
    codec: Codec,
    limit: Duration,
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
    pub(crate) fn new(link: Arc<Link<Commands>>, codec: Codec, config: &BackendConfig) -> Self {
        let key = format!("{}dead-letters", config.key_prefix);
        Self { link, key, codec, limit: config.publish_timeout }
    }

    /// Stores a letter: it is there when the future completes.
    ///
    /// # Errors
    ///
    /// When the server has not confirmed it within the publish timeout. It may be there all the same, and also when the
    /// future is dropped.
    pub(crate) async fn store(&self, letter: &DeadLetter) -> Result<(), BackendError> {
        let DeadLetter { envelope, subscriber, reason, attempts, time } = letter;
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
        entry.arg(&self.key).arg("MAXLEN").arg("~").arg(MAX_LETTERS).arg("*");
        entry
            .arg("name")
            .arg(name.as_str())
            .arg("subscriber")
            .arg(subscriber)
            .arg("reason")
            .arg(shortened(reason));
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
        let send = |mut connection: redis::aio::MultiplexedConnection| async move {
            connection.send_packed_command(command).await?.extract_error()
        };
        self.link.run(operation, self.limit, send).await
    }

    /// All letters, the oldest first. Entries of the stream that are no dead letters are left out, with a warning.
    pub(crate) async fn list(&self) -> Result<Vec<DeadLetter>, BackendError> {
        let operation = || format!("read the dead letters in {}", self.key);
        let mut letters = Vec::new();
        let mut start = "-".to_owned();
        loop {
            let mut range = redis::cmd("XRANGE");
            range.arg(&self.key).arg(&start).arg("+").arg("COUNT").arg(PAGE);
            let reply = self.command(&range, operation).await?;
            let page = StreamRangeReply::from_redis_value(reply)
                .map_err(|error| BackendError::other(operation(), RedisError::from(error)))?;
            letters.extend(page.ids.iter().filter_map(|entry| self.letter(entry)));
            match page.ids.last() {
                Some(last) if page.ids.len() == PAGE => start = format!("({}", last.id),
                _ => return Ok(letters),
            }
        }
    }

    fn letter(&self, entry: &StreamId) -> Option<DeadLetter> {
        let letter = self.read(entry);
        if letter.is_none() {
            tracing::warn!(stream = self.key, entry = entry.id, "not a dead letter");
        }
        letter
    }

    fn read(&self, entry: &StreamId) -> Option<DeadLetter> {
        let name = EventName::parse(&entry.get::<String>("name")?).ok()?;
        let envelope = match entry.get::<Vec<u8>>("event") {
            Some(event) => self.codec.decode(&event, &name).ok()?,
            None => {
                let raw: Arc<[u8]> = entry.get::<Vec<u8>>("raw")?.into();
                Envelope::new(Metadata::new(name, 1, "", None), Payload::Json(raw))
            }
        };
        Some(DeadLetter {
            envelope,
            subscriber: entry.get::<String>("subscriber")?.into(),
            reason: entry.get("reason")?,
            attempts: entry.get("attempts")?,
            time: UNIX_EPOCH + Duration::from_millis(entry.get("time")?),
        })
    }
}

/// The first part of a text, cut between two characters.
fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_REASON);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
