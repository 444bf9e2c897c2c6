//! What all parts of one bus share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

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
    kit::{LogThrottle, lock},
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
    pub(super) is_refusal_said: LogThrottle<String>,
    /// When a refusal of upkeep is to be said, by its words.
    pub(super) is_upkeep_said: OnceAMinute,
    /// Gives the signs of life.
    pub(super) pulse: Pulse,
}

/// Which texts have been said within the last minute.
#[derive(Debug, Default)]
pub(super) struct OnceAMinute(Mutex<HashMap<String, Instant>>);

impl OnceAMinute {
    /// How many texts are known at most.
    const TEXTS: usize = 1_000;
    const MINUTE: Duration = Duration::from_secs(60);

    /// Whether a text is to be said now.
    pub(super) fn is_due(&self, text: String) -> bool {
        let mut said = lock(&self.0);
        if said.len() >= Self::TEXTS {
            said.retain(|_, time| time.elapsed() < Self::MINUTE);
        }
        if said.get(&text).is_some_and(|time| time.elapsed() < Self::MINUTE) {
            return false;
        }
        said.len() < Self::TEXTS && said.insert(text, Instant::now()).is_none_or(|_| true)
    }
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
