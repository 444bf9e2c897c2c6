//! Envelopes as Redis carries them: bytes, with nothing beside them but the name of a channel or stream.

use crate::{
    config::BackendConfig,
    envelope::{
        Envelope, EventName,
        wire::{self, Hint, WireError},
    },
    error::{BackendError, WithCauses},
    kit::catch,
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
        let encoded = self.0.encode(envelope);
        encoded.map_err(|error| BackendError::encode_message(envelope.metadata().name(), error))
    }

    /// The envelope in a message; `name` is what the event is called if it does not say so itself.
    ///
    /// # Errors
    ///
    /// When the message is no event, or is larger than the bus allows: the reason, for its dead letter. A panic over a
    /// message is one, too, so that it does not come back for ever.
    pub(crate) fn decode(&self, message: &[u8], name: &EventName) -> Result<Envelope, String> {
        reasoned(|| self.0.decode(message, &Hint::event(name)))
    }
}

fn reasoned<T>(decode: impl FnOnce() -> Result<T, WireError>) -> Result<T, String> {
    match catch(decode) {
        Ok(decoded) => decoded.map_err(|error| WithCauses(&error).to_string()),
        Err(panic) => Err(format!("reading it made a panic: {panic}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_a_message_is_a_reason_like_any_other() {
        let reason = reasoned::<()>(|| panic!("at byte {}", 7)).unwrap_err();
        assert_eq!(reason, "reading it made a panic: at byte 7");
        let reason = reasoned::<()>(|| Err(WireError::NotAnObject)).unwrap_err();
        assert_eq!(reason, WithCauses(&WireError::NotAnObject).to_string());
        assert_eq!(reasoned(|| Ok(7)), Ok(7));
    }
}
