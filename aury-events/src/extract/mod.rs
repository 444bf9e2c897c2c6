//! What a subscriber takes: its event, and what is made of the event's context.

mod any_event;
mod from_context;
mod from_envelope;
mod receipt;
mod state;

pub(crate) use self::from_context::extract;
pub use self::{
    any_event::AnyEvent,
    from_context::{Extractor, FromContext, extractor},
    from_envelope::FromEnvelope,
    receipt::Receipt,
    state::State,
};
