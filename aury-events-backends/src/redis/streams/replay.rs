//! Back to a subscriber that failed: the stream that its group reads its retries from, or one of its own.

use std::{sync::Arc, time::Duration};

use redis::Cmd;

use super::server::Keys;
use crate::redis::dead_letters::Replay;

const REPLAY: &str = include_str!("scripts/replay.lua");

/// About how many replayed events a `broadcast` subscriber is kept that it has not read.
const UNREAD: usize = 10_000;

/// Puts a letter's event where its subscriber finds it.
#[derive(Debug)]
pub(super) struct ByStream {
    pub(super) keys: Keys,
    pub(super) service: Arc<str>,
}

impl Replay for ByStream {
    fn script(&self, letters: &str, id: &str, subscriber: &str, limit: Duration) -> Cmd {
        let (keys, group) = (&self.keys, group_name(&self.service, subscriber));
        let mut replay = redis::cmd("EVAL");
        replay.arg(REPLAY).arg(5).arg(letters).arg(keys.retry(&group)).arg(keys.replay(&group));
        replay.arg(keys.replayed_to(&group)).arg(format!("{letters}:{id}"));
        replay.arg(id).arg(&group).arg(keys.alive("")).arg(UNREAD);
        replay.arg((limit.as_millis() as u64).max(1));
        replay
    }
}

/// What a subscriber of a service is called on the server.
pub(super) fn group_name(service: &str, subscriber: &str) -> String {
    format!("{service}.{subscriber}")
}
