//! What a subscriber's first parameter can be made of.

use std::sync::Arc;

use aury_events_backends::{Envelope, envelope::DecodeError};

use super::AnyEvent;
use crate::declared::{DEFAULT_BUS, Event, StaticTopic};

/// What a handler's first parameter can be made of.
pub trait FromEnvelope: Send + Sync + Sized + 'static {
    /// The bus on which it is listened for, unless the subscriber says otherwise.
    const BUS: &'static str;
    /// What is listened to for it, unless the subscriber says otherwise.
    const TOPIC: StaticTopic;

    /// Takes it out of an envelope.
    fn from_envelope(envelope: &Envelope) -> Result<Self, DecodeError>;

    /// The key that the event's type gives it.
    fn key(_envelope: &Envelope) -> Option<Arc<str>> {
        None
    }
}

// Recommended on purpose: the macro mentions an event's type here alone, and the compiler then says that `E` is not an
// event, instead of something about `Arc<E>`.
impl<E: Event> FromEnvelope for Arc<E> {
    const BUS: &'static str = E::BUS;
    const TOPIC: StaticTopic = StaticTopic::event::<E>();

    #[inline]
    fn from_envelope(envelope: &Envelope) -> Result<Self, DecodeError> {
        E::decode(envelope.payload())
    }

    fn key(envelope: &Envelope) -> Option<Arc<str>> {
        let event = Self::from_envelope(envelope).ok()?;
        event.key().map(|key| Arc::from(&*key))
    }
}

impl FromEnvelope for AnyEvent {
    const BUS: &'static str = DEFAULT_BUS;
    const TOPIC: StaticTopic = StaticTopic::pattern("#");

    fn from_envelope(envelope: &Envelope) -> Result<Self, DecodeError> {
        Ok(Self::new(envelope.clone()))
    }
}
