//! Back to a subscriber that failed: the stream that its group reads its retries from, or one of its own.

use std::{sync::Arc, time::Duration};

use redis::Cmd;

use super::server::Keys;
use crate::{
    kit::subscriber_name,
    redis::{dead_letters::Replay, names::LetterKeys},
};

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
    fn script(&self, letters: &LetterKeys, id: &str, subscriber: &str, limit: Duration) -> Cmd {
        let (keys, group) = (&self.keys, subscriber_name(&self.service, subscriber));
        let mut replay = redis::cmd("EVAL");
        replay.arg(REPLAY).arg(6).arg(&letters.letters).arg(&letters.bytes);
        replay.arg(letters.under_way(id)).arg(keys.retry(&group)).arg(keys.replay(&group));
        replay.arg(keys.replayed_to(&group));
        replay.arg(id).arg(&group).arg(keys.alive("")).arg(UNREAD);
        replay.arg((limit.as_millis() as u64).max(1));
        replay
    }
}
