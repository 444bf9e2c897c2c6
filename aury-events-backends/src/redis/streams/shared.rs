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
    room::Room,
    server::{Entry, Keys, Server, Stream},
};
use crate::{
    envelope::{Envelope, EventName},
    kit::OnceAMinute,
};

/// How many new entries are taken in at a time: the first are handled while the next are decoded.
const TOGETHER: usize = 32;

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
    pub(super) room: Room,
    /// Gives the signs of life.
    pub(super) pulse: Pulse,
}

impl Shared {
    /// How often a consumer gives a sign of life.
    pub(super) fn beat(&self) -> Duration {
        self.min_idle / 4
    }

    /// Asks whether the server takes events, for health to show.
    pub(super) async fn look_for_room(&self) {
        self.room.look(&self.server, &self.keys, &self.bus).await;
    }

    /// Takes in what the server has delivered, as often as `count` says; `is_suspect` if the process has died that it was
    /// delivered to before. What is no event becomes a dead letter. Gives whether the subscriber has it now.
    pub(super) fn receive(
        &self,
        inbox: &Inbox,
        number: usize,
        stream: &Stream,
        entry: Entry,
        count: DeliveryCount,
        is_suspect: bool,
    ) -> bool {
        let place = Place { stream: number, id: entry.id };
        if inbox.holds(place) {
            return true;
        }
        match self.read(inbox, place, stream, entry) {
            Content::Event { envelope, first_attempt, bytes } => inbox.take_in([Arrival {
                place,
                envelope,
                first_attempt,
                count,
                is_suspect,
                bytes,
            }]),
            Content::Broken(kind) => inbox.take_in_broken(place, kind),
        }
    }

    /// Takes in entries of one stream that the server delivers for the first time.
    pub(super) fn receive_new(
        &self,
        inbox: &Inbox,
        number: usize,
        stream: &Stream,
        entries: Vec<Entry>,
    ) {
        let mut arrivals = Vec::with_capacity(entries.len().min(TOGETHER));
        for entry in entries {
            let place = Place { stream: number, id: entry.id };
            match self.read(inbox, place, stream, entry) {
                Content::Event { envelope, first_attempt, bytes } => {
                    let (count, is_suspect) = (DeliveryCount::FIRST, false);
                    arrivals.push(Arrival {
                        place,
                        envelope,
                        first_attempt,
                        count,
                        is_suspect,
                        bytes,
                    });
                }
                Content::Broken(kind) => {
                    inbox.take_in_broken(place, kind);
                }
            }
            if arrivals.len() == TOGETHER {
                inbox.take_in(arrivals.drain(..));
            }
        }
        inbox.take_in(arrivals);
    }

    fn read(&self, inbox: &Inbox, place: Place, stream: &Stream, mut entry: Entry) -> Content {
        if entry.is_deleted() {
            return Content::Broken(None);
        }
        // In an event's own stream, anybody may have written a number.
        let first_attempt = if stream.event.is_none() { entry.attempt() } else { 1 };
        let raw = entry.event().unwrap_or_default();
        let bytes = raw.len();
        let unknown = EventName::from_static("unknown");
        let name = stream.event.as_ref().unwrap_or(&unknown);
        match self.codec.decode(&raw, name) {
            Ok(envelope) => Content::Event { envelope, first_attempt, bytes },
            Err(reason) => {
                tracing::warn!(
                    bus = &*self.bus,
                    stream = &*stream.key,
                    entry = %place.id,
                    reason,
                    "not an event: it becomes a dead letter"
                );
                let subscriber = Arc::clone(&inbox.subscriber);
                let letter = Undecodable { name: name.clone(), raw, subscriber, reason };
                Content::Broken(Some(Kept::Broken(Box::new(letter))))
            }
        }
    }
}

/// What is in an entry.
enum Content {
    Event {
        envelope: Envelope,
        first_attempt: u32,
        bytes: usize,
    },
    /// No event: it is kept as a dead letter, or there is nothing to keep.
    Broken(Option<Kept>),
}
