//! The consumer group of one subscriber, on all streams that its topic covers.

use std::sync::{Arc, PoisonError, RwLock};

use redis::Value;

use super::{Failure, Keys, Server, commands};
use crate::envelope::{EventName, Pattern, Topic};

/// A consumer group, and this process's consumer in it.
///
/// The first subscription of a group is recorded with its time. A group on a stream that appears later begins at that
/// time, not at the time at which somebody discovers the stream: so nothing is missed that was published in between.
#[derive(Debug)]
pub(crate) struct Group {
    /// `{service}.{subscriber}`.
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
}

/// The number of the stream of retries.
pub(crate) const RETRIES: usize = 0;

/// Where a group on a stream begins that does not have it.
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
        let retries = Stream { key: keys.retry(&name).into(), event: None };
        Self { name, consumer, topic, streams: RwLock::new([retries].into()) }
    }

    pub(crate) fn streams(&self) -> Arc<[Stream]> {
        Arc::clone(&self.streams.read().unwrap_or_else(PoisonError::into_inner))
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
                        self.join(server, keys, &event, &start).await?;
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
            if self.create(server, &stream.key, start).await? {
                vanished.push(Arc::clone(&stream.key));
            }
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
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.iter().all(|stream| *stream.key != *key) {
            let stream = Stream { key: key.into(), event: Some(event.clone()) };
            *streams = streams.iter().cloned().chain([stream]).collect();
        }
        Ok(())
    }

    /// Creates the group on a stream; gives whether it was not there.
    async fn create(&self, server: &Server, key: &str, start: &Start) -> Result<bool, Failure> {
        create_group(server, key, &self.name, &start.to_string()).await
    }

    /// Records the subscription: when the first one was, and whether this is it.
    async fn record(&self, server: &Server, keys: &Keys) -> Result<(u64, bool), Failure> {
        let (seconds, micros): (u64, u64) =
            redis::from_redis_value(server.ask(&redis::cmd("TIME")).await?)
                .map_err(redis::RedisError::from)?;
        let now = seconds * 1_000 + micros / 1_000;
        let field = subscription(&self.name, &self.topic);
        let mut commands = commands();
        commands.cmd("HSETNX").arg(keys.subscribers()).arg(&field).arg(now);
        commands.cmd("HGET").arg(keys.subscribers()).arg(&field);
        let mut answers = server.ask_all(&commands).await?.into_iter();
        let mut answer = || answers.next().unwrap_or(Ok(Value::Nil));
        let is_first = answer()? == Value::Int(1);
        let since = redis::from_redis_value(answer()?).map_err(redis::RedisError::from)?;
        Ok((since, is_first))
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
    for (subscription, since) in subscribers {
        let Some((topic, group)) = subscription.split_once(' ') else { continue };
        // A name is a pattern, too: one that only itself matches.
        if Pattern::parse(topic).is_ok_and(|topic| topic.matches(event.as_str())) {
            create_group(server, key, group, &Start::Since(*since).to_string()).await?;
        }
    }
    Ok(())
}

/// Creates a group, and the stream if need be. One that exists stays as it is. Gives whether it was not there.
async fn create_group(
    server: &Server,
    key: &str,
    group: &str,
    start: &str,
) -> Result<bool, Failure> {
    let mut create = redis::cmd("XGROUP");
    create.arg("CREATE").arg(key).arg(group).arg(start).arg("MKSTREAM");
    match server.ask(&create).await {
        Err(Failure::Refused(error)) if error.code() == Some("BUSYGROUP") => Ok(false),
        answer => answer.map(|_| true),
    }
}

/// The names of all events that have a stream, sorted.
pub(crate) async fn known_events(server: &Server, keys: &Keys) -> Result<Vec<EventName>, Failure> {
    let mut members = redis::cmd("SMEMBERS");
    members.arg(keys.streams());
    let names: Vec<String> =
        redis::from_redis_value(server.ask(&members).await?).map_err(redis::RedisError::from)?;
    let mut names: Vec<_> = names.iter().filter_map(|name| EventName::parse(name).ok()).collect();
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    Ok(names)
}
