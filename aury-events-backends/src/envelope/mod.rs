//! The envelope: what the framework knows of an event ([`Metadata`]) and the event itself ([`Payload`]).

mod id;
mod json;
mod metadata;
mod name;
mod payload;
pub(crate) mod random;
mod shared_str;
mod shell;
mod topic;
mod trace;
#[cfg(feature = "wire")]
pub mod wire;

use std::fmt;

use self::shell::Shell;
pub use self::{
    id::EventId,
    metadata::{Cause, Metadata},
    name::{EventName, InvalidName},
    payload::{DecodeError, EncodeError, Payload, TypedPayload},
    shared_str::SharedStr,
    topic::{InvalidPattern, Pattern, Topic},
    trace::{InvalidTraceparent, SpanId, TraceContext, TraceId},
};

/// An event on its way: metadata and payload, immutable and shared. Cloning it copies a pointer.
#[derive(Clone)]
pub struct Envelope(Shell);

impl Envelope {
    /// Puts an event into its envelope.
    pub fn new(metadata: Metadata, payload: Payload) -> Self {
        Self(Shell::filled(payload, |place| *place = metadata))
    }

    /// Puts an event that is published now into an envelope with metadata of its own: see [`Metadata::new`].
    pub fn published(
        name: EventName,
        version: u32,
        source: &'static str,
        cause: Option<&Cause>,
        payload: Payload,
    ) -> Self {
        Self(Shell::filled(payload, |metadata| metadata.renew(name, version, source, cause)))
    }

    /// What the framework knows of the event.
    #[inline]
    pub fn metadata(&self) -> &Metadata {
        self.0.metadata()
    }

    /// The event itself.
    #[inline]
    pub fn payload(&self) -> &Payload {
        self.0.payload()
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("metadata", self.metadata())
            .field("payload", self.payload())
            .finish()
    }
}
