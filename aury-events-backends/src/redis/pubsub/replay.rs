//! Back to a subscriber that failed: a channel of its own.
//!
//! The message is the id of the letter, a space, and the event. Who has taken it in removes the letter, so that one that
//! nobody takes stays: as when the subscriber is just leaving.

use std::{sync::Arc, time::Duration};

use redis::Cmd;

use crate::{
    kit::subscriber_name,
    redis::{dead_letters::Replay, names::LetterKeys},
};

const REPLAY: &str = include_str!("scripts/replay.lua");

/// Sends a letter's event to the processes in which the subscriber runs.
#[derive(Debug)]
pub(super) struct ByChannel {
    pub(super) prefix: String,
    pub(super) service: Arc<str>,
}

impl Replay for ByChannel {
    fn script(&self, letters: &LetterKeys, id: &str, subscriber: &str, limit: Duration) -> Cmd {
        let mut replay = redis::cmd("EVAL");
        replay.arg(REPLAY).arg(2).arg(&letters.letters).arg(letters.under_way(id));
        replay.arg(id).arg(replay_channel(&self.prefix, &self.service, subscriber));
        replay.arg((limit.as_millis() as u64).max(1));
        replay
    }

    fn listeners(&self, subscriber: &str) -> Option<Cmd> {
        let mut listeners = redis::cmd("PUBSUB");
        let channel = replay_channel(&self.prefix, &self.service, subscriber);
        listeners.arg("NUMSUB").arg(channel);
        Some(listeners)
    }
}

/// The channel by which dead letters come back to one subscriber of a service. It has a `:` after the prefix, which no
/// event name holds, so patterns do not take it for an event's; and a `/`, which neither service nor subscriber holds.
pub(super) fn replay_channel(prefix: &str, service: &str, subscriber: &str) -> String {
    format!("{prefix}:replay:{}", subscriber_name(service, subscriber))
}

/// The id of the letter and the event, of a message on such a channel.
pub(super) fn parts(message: &[u8]) -> Option<(&str, &[u8])> {
    let space = message.iter().position(|byte| *byte == b' ')?;
    Some((str::from_utf8(&message[..space]).ok()?, &message[space + 1..]))
}
