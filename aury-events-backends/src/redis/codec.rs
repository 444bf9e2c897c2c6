//! Envelopes as Redis carries them: bytes, with nothing beside them but the name of a channel or stream.

use crate::{
    config::BackendConfig,
    envelope::{
        Envelope, EventName,
        wire::{self, Hint, WireError},
    },
    error::BackendError,
};

/// Writes and reads envelopes, in the format and within the limits of a bus.
#[derive(Debug, Clone)]
pub(crate) struct Codec(wire::Codec);

impl Codec {
    pub(crate) fn new(config: &BackendConfig) -> Self {
        Self(wire::Codec::new(config))
    }

    /// The bytes of an envelope.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or is larger than the bus allows.
    pub(crate) fn encode(&self, envelope: &Envelope) -> Result<Vec<u8>, BackendError> {
        Ok(self.0.encode(envelope)?)
    }

    /// The envelope in a message; `name` is what the event is called if it does not say so itself.
    ///
    /// # Errors
    ///
    /// When the message is no event, or is larger than the bus allows.
    pub(crate) fn decode(&self, message: &[u8], name: &EventName) -> Result<Envelope, WireError> {
        self.0.decode(message, &Hint::event(name))
    }
}
