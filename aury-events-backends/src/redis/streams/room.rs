//! Whether the server has room for events: one whose memory is full answers, and takes none.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use redis::RedisError;
use tokio::time::Instant;

use super::server::{EVENT, Failure, Keys, Server};
use crate::kit::lock;

/// For how long a refused event is shown: there may be room for smaller ones.
const SHOWN: Duration = Duration::from_secs(5);

/// What is known of the server's room.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The server's words, while there is no room for anything.
    full: Option<Arc<str>>,
    /// What it has said to the latest event that it had no room for, and when.
    refused: Option<(Arc<str>, Instant)>,
}

impl Room {
    /// Asks the server, and says so when the answer is another one. What is asked for is an entry of a stream that does not
    /// exist and is not made by it (`NOMKSTREAM`): a full server refuses that, too.
    pub(super) async fn look(&self, server: &Server, keys: &Keys, bus: &str) {
        let mut add = redis::cmd("XADD");
        add.arg(keys.room()).arg("NOMKSTREAM").arg("*").arg(EVENT).arg("");
        let full = match server.ask(&add).await {
            Err(Failure::Refused(error)) => refusal(&error),
            Ok(_) => None,
            // That it is away is said elsewhere.
            Err(Failure::Unreachable(_)) => return,
        };
        let before = std::mem::replace(&mut lock(&self.0).full, full.clone());
        match (before, full) {
            (None, Some(refusal)) => {
                tracing::warn!(bus, refusal = &*refusal, "Redis is full: publishing fails");
            }
            (Some(_), None) => tracing::info!(bus, "Redis takes events again"),
            _ => {}
        }
    }

    /// Takes note of an event that the server has refused, if it was for want of room.
    #[cold]
    pub(super) fn refused(&self, error: &RedisError) {
        if let Some(refusal) = refusal(error) {
            lock(&self.0).refused = Some((refusal, Instant::now()));
        }
    }

    /// Why the server takes no events, while it takes none.
    pub(super) fn problem(&self) -> Option<Arc<str>> {
        let state = lock(&self.0);
        let refused = state.refused.as_ref().filter(|(_, since)| since.elapsed() < SHOWN);
        state.full.clone().or_else(|| refused.map(|(refusal, _)| Arc::clone(refusal)))
    }
}

fn refusal(error: &RedisError) -> Option<Arc<str>> {
    let is_for_want_of_room = error.code() == Some("OOM");
    is_for_want_of_room.then(|| format!("the server takes no events: {error}").into())
}
