//! Publishing many events: in chunks, some of which are on their way while the next one is written.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, stream::FuturesOrdered};
use redis::{Pipeline, RedisError, Value};

use super::PubSubBackend;
use crate::{backend::Outgoing, envelope::EventName, error::BackendError, redis::link::Connection};

/// How many events go to the server in one piece.
const CHUNK: usize = 256;

/// The most bytes of one piece, unless a single event has more.
const CHUNK_BYTES: usize = 1024 * 1024;

/// How many pieces are under way at a time.
const WINDOW: usize = 3;

type Outcome = Result<(), BackendError>;

/// Events that go to the server together.
#[derive(Default)]
struct Chunk {
    pipeline: Pipeline,
    names: Vec<EventName>,
    bytes: usize,
    /// The failure of the event that follows these.
    failed: Option<BackendError>,
}

impl Chunk {
    fn is_last(&self) -> bool {
        self.failed.is_some() || self.pipeline.is_empty()
    }
}

impl PubSubBackend {
    /// Publishes events in order, until the first failure.
    pub(super) async fn publish_in_chunks(
        &self,
        events: &mut (dyn Iterator<Item = Outgoing> + Send),
    ) -> Vec<Outcome> {
        let mut results = Vec::with_capacity(events.size_hint().0);
        let mut under_way = FuturesOrdered::new();
        let mut is_done = false;
        loop {
            while !is_done && under_way.len() < WINDOW {
                let chunk = self.next_chunk(events);
                is_done = chunk.is_last();
                under_way.push_back(self.send(chunk));
                // Polled once, the chunk is on its way while the next one is written.
                if let Some(Some(outcomes)) = under_way.next().now_or_never() {
                    is_done |= outcomes.iter().any(Result::is_err);
                    results.extend(outcomes);
                }
            }
            let Some(outcomes) = under_way.next().await else { return results };
            is_done |= outcomes.iter().any(Result::is_err);
            results.extend(outcomes);
        }
    }

    fn next_chunk(&self, events: &mut (dyn Iterator<Item = Outgoing> + Send)) -> Chunk {
        let mut chunk = Chunk::default();
        while chunk.pipeline.len() < CHUNK && chunk.bytes < CHUNK_BYTES {
            let Some(event) = events.next() else { break };
            match self.command(&event) {
                Ok((command, bytes)) => {
                    chunk.pipeline.add_command(command);
                    chunk.names.push(event.envelope.metadata().name().clone());
                    chunk.bytes += bytes;
                }
                Err(error) => {
                    chunk.failed = Some(error);
                    break;
                }
            }
        }
        chunk
    }

    async fn send(&self, chunk: Chunk) -> Vec<Outcome> {
        let Chunk { pipeline, names, failed, .. } = chunk;
        let mut outcomes = self.send_pipeline(&pipeline, &names).await;
        outcomes.extend(failed.map(Err));
        outcomes
    }

    async fn send_pipeline(&self, pipeline: &Pipeline, names: &[EventName]) -> Vec<Outcome> {
        if pipeline.is_empty() {
            return Vec::new();
        }
        let count = pipeline.len();
        let operation = || format!("publish {count} events");
        let send = |mut connection: Connection| async move {
            connection.send_packed_commands(pipeline, 0, count).await
        };
        match self.commands.run(operation, self.publish_timeout, send).await {
            Ok(replies) => {
                let replies = replies.into_iter().zip(names);
                replies.map(|(reply, name)| self.taken(name, reply)).collect()
            }
            Err(error) => {
                let error = Arc::new(error);
                (0..count).map(|_| Err(self.same(&error, operation()))).collect()
            }
        }
    }

    /// What the server said about one event.
    fn taken(&self, name: &EventName, reply: Value) -> Outcome {
        match reply {
            Value::ServerError(error) => {
                Err(BackendError::other("publish an event", RedisError::from(error)))
            }
            receivers => self.note_receivers(name, &receivers),
        }
    }

    /// Takes note that nobody was connected to receive an event, of which the server keeps nothing. In a cluster, it knows of
    /// its own node alone.
    pub(super) fn note_receivers(&self, name: &EventName, receivers: &Value) -> Outcome {
        if *receivers != Value::Int(0) || self.commands.connector().client().is_cluster() {
            return Ok(());
        }
        self.nobody_listens
            .note(name.as_str(), "no process that listens to it is connected to Redis")
    }

    /// The failure of a chunk, as the failure of one of its events.
    fn same(&self, error: &Arc<BackendError>, operation: String) -> BackendError {
        if error.is_closed() {
            BackendError::closed()
        } else if error.is_timeout() {
            BackendError::timed_out(operation, self.publish_timeout)
        } else if error.is_not_connected() {
            BackendError::not_connected(operation, self.commands.problem().map(Into::into))
        } else {
            BackendError::other(operation, Arc::clone(error))
        }
    }
}
