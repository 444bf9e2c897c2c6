//! Publishing: one `XADD` per event, confirmed by the server.

use std::{
    collections::HashSet,
    sync::{Arc, RwLock},
    time::Duration,
};

use redis::{Cmd, Pipeline, RedisError, Value};

use super::{
    server::{EVENT, Failure, commands, is_passing, persist},
    shared::Shared,
};
use crate::{
    backend::Outgoing,
    envelope::EventName,
    error::BackendError,
    kit::{read, write},
};

const PUBLISH_LATER: &str = include_str!("scripts/publish_later.lua");

/// How many events go to the server in one go.
const CHUNK: usize = 256;

/// How many bytes go to the server in one go, from which on a chunk is not added to.
const CHUNK_BYTES: usize = 1 << 20;

/// Puts events into their streams.
#[derive(Debug)]
pub(super) struct Publisher {
    shared: Arc<Shared>,
    /// How long the server may take to confirm, a reconnection in between included.
    limit: Duration,
    /// The events whose streams this process has announced.
    announced: RwLock<HashSet<EventName>>,
}

/// An event as the server is given it.
pub(super) struct Encoded {
    name: EventName,
    bytes: Vec<u8>,
    delay: Option<Duration>,
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>, limit: Duration) -> Self {
        Self { shared, limit, announced: RwLock::default() }
    }

    pub(super) fn encode(&self, event: &Outgoing) -> Result<Encoded, BackendError> {
        let bytes = self.shared.codec.encode(&event.envelope)?;
        let name = event.envelope.metadata().name().clone();
        Ok(Encoded { name, bytes, delay: event.delay })
    }

    /// Publishes an event. When the connection is lost under it, it is sent again: it may then be there twice, with one
    /// event id.
    pub(super) async fn publish(&self, event: Encoded) -> Result<(), BackendError> {
        let add = self.add(&event);
        let operation = || format!("publish {}", event.name);
        persist(self.limit, operation, || self.try_one(&event, &add)).await
    }

    async fn try_one(&self, event: &Encoded, add: &Cmd) -> Result<(), Failure> {
        self.announce(std::slice::from_ref(event)).await?;
        let added = self.shared.server.ask(add).await;
        if let Err(Failure::Refused(error)) = &added {
            self.shared.room.refused(error);
        }
        added.map(drop)
    }

    /// Publishes events in order, in one go. Gives a result for each, or the one failure of all.
    pub(super) async fn publish_chunk(&self, chunk: &[Encoded]) -> Vec<Result<(), BackendError>> {
        let mut adds = commands();
        for event in chunk {
            adds.add_command(self.add(event));
        }
        let operation = || format!("publish {} events", chunk.len());
        match persist(self.limit, operation, || self.try_chunk(chunk, &adds)).await {
            Err(error) => vec![Err(error)],
            Ok(answers) => {
                let result = |(answer, event): (Result<Value, RedisError>, &Encoded)| {
                    let operation = || format!("publish {}", event.name);
                    answer.map(drop).map_err(|error| Failure::from(error).of(operation()))
                };
                answers.into_iter().zip(chunk).map(result).collect()
            }
        }
    }

    async fn try_chunk(
        &self,
        chunk: &[Encoded],
        adds: &Pipeline,
    ) -> Result<Vec<Result<Value, RedisError>>, Failure> {
        self.announce(chunk).await?;
        let answers = self.shared.server.ask_all(adds).await?;
        answers
            .iter()
            .filter_map(|it| it.as_ref().err())
            .for_each(|it| self.shared.room.refused(it));
        // When one may yet succeed, all are sent again, so that they stay in order.
        match answers.iter().filter_map(|answer| answer.as_ref().err()).find(|it| is_passing(it)) {
            Some(error) => Err(error.clone().into()),
            None => Ok(answers),
        }
    }

    fn add(&self, event: &Encoded) -> Cmd {
        let keys = &self.shared.keys;
        let stream = keys.stream(event.name.as_str());
        let Some(delay) = event.delay else {
            let mut add = Cmd::with_capacity(5, event.bytes.len() + 128);
            add.arg("XADD").arg(stream).arg("*").arg(EVENT).arg(&event.bytes);
            return add;
        };
        let mut later = redis::cmd("EVAL");
        later.arg(PUBLISH_LATER).arg(2).arg(keys.delayed()).arg(stream);
        // A part of a millisecond is waited for as a whole one.
        let millis = delay.as_nanos().div_ceil(1_000_000);
        later.arg(u64::try_from(millis).unwrap_or(u64::MAX)).arg(&event.bytes);
        later
    }

    /// Makes known that these events have streams, before they have any entry.
    async fn announce(&self, events: &[Encoded]) -> Result<(), Failure> {
        let new: Vec<EventName> = {
            let announced = read(&self.announced);
            let new = events.iter().map(|event| &event.name).filter(|it| !announced.contains(*it));
            new.cloned().collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        self.add_to_streams(&new).await?;
        write(&self.announced).extend(new);
        Ok(())
    }

    /// Makes all known again that have been: the server may have lost it.
    pub(super) async fn announce_all(&self) -> Result<(), Failure> {
        let announced: Vec<EventName> = {
            let announced = read(&self.announced);
            announced.iter().cloned().collect()
        };
        if announced.is_empty() { Ok(()) } else { self.add_to_streams(&announced).await }
    }

    async fn add_to_streams(&self, names: &[EventName]) -> Result<(), Failure> {
        let mut add = redis::cmd("SADD");
        add.arg(self.shared.keys.streams());
        add.arg(names.iter().map(EventName::as_str).collect::<Vec<_>>());
        self.shared.server.ask(&add).await.map(drop)
    }
}

/// Gathers events for one go.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) events: Vec<Encoded>,
    bytes: usize,
}

impl Chunk {
    pub(super) fn add(&mut self, event: Encoded) {
        self.bytes += event.bytes.len();
        self.events.push(event);
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= CHUNK || self.bytes >= CHUNK_BYTES
    }
}
