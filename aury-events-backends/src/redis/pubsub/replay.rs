//! Back to a subscriber that failed: a channel of its own.

use std::sync::Arc;

use redis::Cmd;

use crate::redis::dead_letters::Replay;

const REPLAY: &str = include_str!("scripts/replay.lua");

/// Hands a letter's event to the processes in which the subscriber runs.
#[derive(Debug)]
pub(super) struct ByChannel {
    pub(super) prefix: String,
    pub(super) service: Arc<str>,
}

impl Replay for ByChannel {
    fn script(&self, letters: &str, id: &str, subscriber: &str) -> Cmd {
        let mut replay = redis::cmd("EVAL");
        replay.arg(REPLAY).arg(1).arg(letters).arg(id);
        replay.arg(replay_channel(&self.prefix, &self.service, subscriber));
        replay
    }
}

/// The channel by which dead letters come back to one subscriber of a service. It has a `:` after whatever prefix it
/// may seem to begin with, which no event name holds: so patterns do not take it for an event's.
pub(super) fn replay_channel(prefix: &str, service: &str, subscriber: &str) -> String {
    format!("replay:{prefix}:{service}.{subscriber}:")
}
