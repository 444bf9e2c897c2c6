//! The envelope: what the framework knows of an event ([`Metadata`]) and the event itself ([`Payload`]).

mod id;
mod metadata;
mod name;
mod payload;
mod random;
mod shared_str;
mod topic;
mod trace;

pub use self::{
    id::EventId,
    metadata::{Cause, Metadata},
    name::{EventName, InvalidName},
    payload::{DecodeError, EncodeError, Payload, TypedPayload},
    shared_str::SharedStr,
    topic::{InvalidPattern, Pattern, Topic},
    trace::{InvalidTraceparent, SpanId, TraceContext, TraceId},
};

/// An event on its way: metadata and payload.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// What the framework knows of the event.
    pub metadata: Metadata,
    /// The event itself.
    pub payload: Payload,
}
