//! The consumer group of one subscriber, on all streams that its topic covers.

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use redis::{Cmd, Value};

use super::{Failure, Keys, Server, commands};
use crate::envelope::{EventName, Pattern, Topic};
use crate::kit::{read, write};

/// A consumer group, and this process's consumer in it.
///
/// The first subscription of a group is recorded with its time. A group on a stream that appears later begins at that
/// time, not at the time at which somebody discovers the stream: so nothing is missed that was published in between.
#[derive(Debug)]
pub(crate) struct Group {
    /// `{service}/{subscriber}`.
    pub(crate) name: String,
    /// Unique to this subscription.
    pub(crate) consumer: String,
    pub(crate) topic: Topic,
    /// The streams by their numbers: first that of retries, then those of events. It only grows.
    streams: RwLock<Arc<[Stream]>>,
}

/// A stream that a group reads.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) key: Arc<str>,
    /// The events in it; `None` if they are retries or replays of any.
    pub(crate) event: Option<EventName>,
    /// Whether the key holds a stream, or nothing yet. It may hold something else, which others have put there.
    is_stream: Arc<AtomicBool>,
}

impl Stream {
    pub(crate) fn new(key: impl Into<Arc<str>>, event: Option<EventName>) -> Self {
        Self { key: key.into(), event, is_stream: Arc::new(AtomicBool::new(true)) }
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.is_stream.load(Relaxed)
    }
}

const ENROL: &str = include_str!("../scripts/enrol.lua");
const JOIN: &str = include_str!("../scripts/join.lua");

/// The number of the stream of retries.
pub(crate) const RETRIES: usize = 0;

/// Where a group on a stream begins that does not have it.
#[derive(Clone, Copy)]
enum Start {
    /// With what is published from now on.
    Now,
    /// With what was published from that time on, in milliseconds.
    Since(u64),
    /// At the beginning: the server has lost everything, so all that it has came after.
    Beginning,
}

impl Group {
    pub(crate) fn new(name: String, consumer: String, topic: Topic, keys: &Keys) -> Self {
        let retries = Stream::new(keys.retry(&name), None);
        Self { name, consumer, topic, streams: RwLock::new([retries].into()) }
    }

    pub(crate) fn streams(&self) -> Arc<[Stream]> {
        Arc::clone(&read(&self.streams))
    }

    /// The key of the stream of that number.
    pub(crate) fn key(&self, stream: usize) -> Arc<str> {
        Arc::clone(&self.streams()[stream].key)
    }

    /// Begins: the group is on all streams that exist, or on that of the event it is about. What is published when this
    /// is done reaches it. Repeating it changes nothing.
    pub(crate) async fn found(&self, server: &Server, keys: &Keys) -> Result<(), Failure> {
        let (since, is_first) = self.record(server, keys).await?;
        let start = if is_first { Start::Now } else { Start::Since(since) };
        match &self.topic {
            Topic::Event(event) => self.join(server, keys, event, &start).await,
            Topic::Pattern(_) => {
                for event in known_events(server, keys).await? {
                    if self.topic.matches(&event) {
                        let joined = self.join(server, keys, &event, &start).await;
                        self.unless_one_of_many(keys.stream(event.as_str()), joined, true)?;
                    }
                }
                Ok(())
            }
        }?;
        self.create(server, &self.key(RETRIES), &Start::Beginning).await.map(drop)
    }

    /// Sees to it that the group is on all of its streams, also after the server has lost everything. Gives the keys of
    /// those on which it was not any more.
    pub(crate) async fn restore(
        &self,
        server: &Server,
        keys: &Keys,
    ) -> Result<Vec<Arc<str>>, Failure> {
        let (since, was_lost) = self.record(server, keys).await?;
        let start = if was_lost { Start::Beginning } else { Start::Since(since) };
        let mut vanished = Vec::new();
        for stream in &*self.streams() {
            let start = if stream.event.is_some() { &start } else { &Start::Beginning };
            let created = self.create(server, &stream.key, start).await;
            let was_stream = stream.is_stream.swap(!is_wrong_type(&created), Relaxed);
            if matches!(created, Ok(true)) {
                vanished.push(Arc::clone(&stream.key));
            }
            self.unless_one_of_many(&*stream.key, created.map(drop), was_stream)?;
        }
        Ok(vanished)
    }

    /// Begins to read a stream that has appeared, if it is one of the topic's.
    pub(crate) async fn discover(
        &self,
        server: &Server,
        keys: &Keys,
        event: &EventName,
    ) -> Result<(), Failure> {
        let is_known = self.streams().iter().any(|stream| stream.event.as_ref() == Some(event));
        if is_known || !self.topic.matches(event) {
            return Ok(());
        }
        let (since, was_lost) = self.record(server, keys).await?;
        let start = if was_lost { Start::Beginning } else { Start::Since(since) };
        self.join(server, keys, event, &start).await
    }

    async fn join(
        &self,
        server: &Server,
        keys: &Keys,
        event: &EventName,
        start: &Start,
    ) -> Result<(), Failure> {
        let key = keys.stream(event.as_str());
        self.create(server, &key, start).await?;
        let mut streams = write(&self.streams);
        if streams.iter().all(|stream| *stream.key != *key) {
            let stream = Stream::new(key, Some(event.clone()));
            *streams = streams.iter().cloned().chain([stream]).collect();
        }
        Ok(())
    }

    /// Creates the group on a stream; gives whether it was not there.
    async fn create(&self, server: &Server, key: &str, start: &Start) -> Result<bool, Failure> {
        let join = join(key, [(&*self.name, *start)].into_iter());
        Ok(server.ask(&join).await? != Value::Int(0))
    }

    /// Of a pattern's many streams, one whose key holds something else does not keep the others from being read.
    fn unless_one_of_many(
        &self,
        key: impl AsRef<str>,
        outcome: Result<(), Failure>,
        is_new: bool,
    ) -> Result<(), Failure> {
        if is_wrong_type(&outcome) && matches!(self.topic, Topic::Pattern(_)) {
            if is_new {
                tracing::warn!(
                    group = self.name,
                    key = key.as_ref(),
                    "the key of a stream holds something else: events of that name are not read"
                );
            }
            return Ok(());
        }
        outcome
    }

    /// Looks which streams are none, since their keys hold something else.
    pub(crate) async fn look_at_types(&self, server: &Server) -> Result<(), Failure> {
        let streams = self.streams();
        let mut types = commands();
        for stream in &*streams {
            types.cmd("TYPE").arg(&*stream.key);
        }
        for (stream, answer) in streams.iter().zip(server.ask_all(&types).await?) {
            let is_stream = match answer? {
                Value::SimpleString(kind) => matches!(&*kind, "stream" | "none"),
                _ => true,
            };
            if !is_stream && stream.is_stream.swap(is_stream, Relaxed) {
                let (group, key) = (&*self.name, &*stream.key);
                tracing::warn!(
                    group,
                    key,
                    "the key of a stream holds something else: it is not read"
                );
            }
        }
        Ok(())
    }

    /// Records the subscription: when the first one was, in milliseconds, and whether this is it.
    async fn record(&self, server: &Server, keys: &Keys) -> Result<(u64, bool), Failure> {
        let mut enrol = redis::cmd("EVAL");
        enrol.arg(ENROL).arg(1).arg(keys.subscribers()).arg(subscription(&self.name, &self.topic));
        let recorded = redis::from_redis_value(server.ask(&enrol).await?);
        Ok(recorded.map_err(redis::RedisError::from)?)
    }
}

impl std::fmt::Display for Start {
    /// The id after which the group begins.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now => f.write_str("$"),
            Self::Since(millis) => write!(f, "{}-{}", millis.saturating_sub(1), u64::MAX),
            Self::Beginning => f.write_str("0"),
        }
    }
}

/// The name of a subscription in the record of them. A topic holds no space.
fn subscription(group: &str, topic: &Topic) -> String {
    format!("{topic} {group}")
}

/// Puts all groups on a stream that their topics cover, also those of subscribers that do not run at the moment.
/// Otherwise, others would have handled and trimmed what these have not seen.
pub(crate) async fn join_all(
    server: &Server,
    key: &str,
    event: &EventName,
    subscribers: &[(String, u64)],
) -> Result<(), Failure> {
    let covering = subscribers.iter().filter_map(|(subscription, since)| {
        let (topic, group) = subscription.split_once(' ')?;
        // A name is a pattern, too: one that only itself matches.
        let is_covered = Pattern::parse(topic).ok()?.matches(event.as_str());
        is_covered.then_some((group, Start::Since(*since)))
    });
    let join = join(key, covering);
    server.ask(&join).await.map(drop)
}

/// The record of all subscriptions, with their times. What others have written there is left out.
pub(crate) async fn subscribers(
    server: &Server,
    keys: &Keys,
) -> Result<Vec<(String, u64)>, Failure> {
    let mut all = redis::cmd("HGETALL");
    all.arg(keys.subscribers());
    let all: Vec<(Vec<u8>, Vec<u8>)> =
        redis::from_redis_value(server.ask(&all).await?).map_err(redis::RedisError::from)?;
    let text = |bytes| String::from_utf8(bytes).ok();
    let parse = |(subscription, since)| Some((text(subscription)?, text(since)?.parse().ok()?));
    Ok(all.into_iter().filter_map(parse).collect())
}

/// Creates groups on a stream, and the stream if need be. Those that exist stay as they are.
fn join<'a>(key: &str, groups: impl Iterator<Item = (&'a str, Start)>) -> Cmd {
    let mut join = redis::cmd("EVAL");
    join.arg(JOIN).arg(1).arg(key);
    for (group, start) in groups {
        join.arg(group).arg(start.to_string());
    }
    join
}

/// Whether a key does not hold what it should: others have written there.
fn is_wrong_type<T>(outcome: &Result<T, Failure>) -> bool {
    matches!(outcome, Err(Failure::Refused(error)) if error.code() == Some("WRONGTYPE"))
}

/// The names of all events that have a stream, sorted.
pub(crate) async fn known_events(server: &Server, keys: &Keys) -> Result<Vec<EventName>, Failure> {
    let mut members = redis::cmd("SMEMBERS");
    members.arg(keys.streams());
    let names: Vec<Vec<u8>> =
        redis::from_redis_value(server.ask(&members).await?).map_err(redis::RedisError::from)?;
    // What others have written there is left out.
    let parse = |name: &Vec<u8>| EventName::parse(std::str::from_utf8(name).ok()?).ok();
    let mut names: Vec<_> = names.iter().filter_map(parse).collect();
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    Ok(names)
}
