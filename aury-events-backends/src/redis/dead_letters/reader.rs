//! Reading dead letters.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use redis::{
    RedisError,
    streams::{StreamId, StreamRangeReply},
};

use super::DeadLetters;
use crate::{
    dead_letters::{DeadLetter, DeadLetterReader},
    envelope::{Envelope, EventName, Metadata, Payload},
    error::BackendError,
    maybe_ready::BoxFuture,
};

const PAGE: &str = include_str!("scripts/page.lua");

/// How many letters are read at a time.
const MAX_COUNT: usize = 100;

/// From how many bytes on no further letter is read at a time.
const MAX_BYTES: usize = 1 << 20;

/// Reads the letters that were there when it was opened: one subscriber after the other, the oldest first.
pub(super) struct Reader {
    letters: DeadLetters,
    /// What is still to be read.
    left: VecDeque<Range>,
}

/// The letters of one subscriber, as a range of ids.
struct Range {
    subscriber: Arc<str>,
    from: String,
    till: String,
}

impl Reader {
    pub(super) async fn open(
        letters: DeadLetters,
        subscribers: Box<[Arc<str>]>,
    ) -> Result<Self, BackendError> {
        let mut reader = Self { letters, left: VecDeque::new() };
        for subscriber in subscribers {
            let mut range = Range { subscriber, from: "-".to_owned(), till: String::new() };
            // Reads none, but says which is the last.
            (range.till, _) = reader.read(&range, 0).await?;
            if !range.till.is_empty() {
                reader.left.push_back(range);
            }
        }
        Ok(reader)
    }

    /// The last id of a range, and its first letters.
    async fn read(
        &self,
        range: &Range,
        count: usize,
    ) -> Result<(String, Vec<StreamId>), BackendError> {
        let operation = || format!("read the dead letters of {}", range.subscriber);
        let mut page = redis::cmd("EVAL");
        page.arg(PAGE).arg(1).arg(self.letters.keys(&range.subscriber).letters);
        page.arg(&range.from).arg(&range.till).arg(count).arg(MAX_BYTES);
        let reply = self.letters.command(&page, operation).await?;
        let page: Result<(String, StreamRangeReply), _> = redis::from_redis_value(reply);
        let page = page.map(|(till, page)| (till, page.ids));
        page.map_err(|error| BackendError::other(operation(), RedisError::from(error)))
    }

    async fn next(&mut self) -> Result<Vec<DeadLetter>, BackendError> {
        while let Some(range) = self.left.front() {
            let (_, entries) = self.read(range, MAX_COUNT).await?;
            let Some(last) = entries.last() else {
                self.left.pop_front();
                continue;
            };
            let next = format!("({}", last.id);
            let letter = |entry| self.letter(&range.subscriber, entry);
            let page: Vec<_> = entries.into_iter().filter_map(letter).collect();
            if let Some(range) = self.left.front_mut() {
                range.from = next;
            }
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }

    /// The letter in an entry; `None`, with a warning, if others have written something else there.
    fn letter(&self, subscriber: &Arc<str>, mut entry: StreamId) -> Option<DeadLetter> {
        let letter = self.read_entry(subscriber, &mut entry);
        if letter.is_none() {
            tracing::warn!(subscriber = &**subscriber, entry = entry.id, "not a dead letter");
        }
        letter
    }

    fn read_entry(&self, subscriber: &Arc<str>, entry: &mut StreamId) -> Option<DeadLetter> {
        let name = EventName::parse(&entry.get::<String>("name")?).ok()?;
        let mut bytes =
            |field| -> Option<Vec<u8>> { redis::from_redis_value(entry.map.remove(field)?).ok() };
        let envelope = match bytes("event") {
            Some(event) => self.letters.codec.decode(&event, &name).ok()?,
            None => {
                let raw: Arc<[u8]> = bytes("raw")?.into();
                Envelope::new(Metadata::new(name, 1, "", None), Payload::Json(raw))
            }
        };
        let time = UNIX_EPOCH.checked_add(Duration::from_millis(entry.get("time")?))?;
        let (reason, attempts) = (entry.get("reason")?, entry.get("attempts")?);
        let letter = DeadLetter::recorded(envelope, Arc::clone(subscriber), reason, attempts, time);
        Some(letter.kept_as(&*entry.id, Arc::new(self.letters.clone())))
    }
}

impl DeadLetterReader for Reader {
    fn next_page(&mut self) -> BoxFuture<'_, Result<Vec<DeadLetter>, BackendError>> {
        Box::pin(self.next())
    }
}
