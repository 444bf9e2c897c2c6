//! What all parts of one bus share.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        codec::Codec,
        connection::RedisClient,
        dead_letters::{DeadLetters, Undecodable},
    },
    inbox::{Arrival, DeliveryCount, Inbox, Kept, Place},
    pulse::Pulse,
    server::{Entry, Keys, Server, Stream},
};
use crate::{
    envelope::{Envelope, EventName},
    error::WithCauses,
    redis::once_a_minute::OnceAMinute,
};

/// What all parts of one bus share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bus: Arc<str>,
    pub(super) client: RedisClient,
    pub(super) server: Server,
    pub(super) keys: Keys,
    pub(super) codec: Codec,
    pub(super) dead_letters: DeadLetters,
    /// How long a consumer may give no sign of life until others take over what it holds.
    pub(super) min_idle: Duration,
    /// How many processes may die over one delivery until it is a dead letter.
    pub(super) max_interruptions: u32,
    /// When a refused settlement is to be said, by the kind of refusal.
    pub(super) is_refusal_said: OnceAMinute,
    /// When a refusal of upkeep is to be said, by its words.
    pub(super) is_upkeep_said: OnceAMinute,
    /// Gives the signs of life.
    pub(super) pulse: Pulse,
}

impl Shared {
    /// How often a consumer gives a sign of life.
    pub(super) fn beat(&self) -> Duration {
        self.min_idle / 4
    }

    /// Takes in what the server has delivered, as often as `count` says; `is_suspect` if the process has died that it was
    /// delivered to before. What is no event becomes a dead letter. Gives whether the subscriber has it now.
    pub(super) fn receive(
        &self,
        inbox: &Arc<Inbox>,
        number: usize,
        stream: &Stream,
        mut entry: Entry,
        count: DeliveryCount,
        is_suspect: bool,
    ) -> bool {
        let place = Place { stream: number, id: entry.id };
        if inbox.holds(place) {
            return true;
        }
        if entry.is_deleted() {
            return inbox.take_in_broken(place, None);
        }
        // In an event's own stream, anybody may have written a number.
        let first_attempt = if stream.event.is_none() { entry.attempt() } else { 1 };
        let raw = entry.event().unwrap_or_default();
        let bytes = raw.len();
        match self.decode(&raw, stream.event.as_ref()) {
            Ok(envelope) => {
                inbox.take_in(Arrival { place, envelope, first_attempt, count, is_suspect, bytes })
            }
            Err(reason) => {
                tracing::warn!(
                    bus = &*self.bus,
                    stream = &*stream.key,
                    entry = %place.id,
                    reason,
                    "not an event: it becomes a dead letter"
                );
                let name = stream.event.clone().unwrap_or(EventName::from_static("unknown"));
                let subscriber = Arc::clone(&inbox.subscriber);
                let letter = Box::new(Undecodable { name, raw, subscriber, reason });
                inbox.take_in_broken(place, Some(Kept::Broken(letter)))
            }
        }
    }

    fn decode(&self, raw: &[u8], name: Option<&EventName>) -> Result<Envelope, String> {
        let unknown = EventName::from_static("unknown");
        let name = name.unwrap_or(&unknown);
        self.codec.decode(raw, name).map_err(|error| WithCauses(&error).to_string())
    }
}
