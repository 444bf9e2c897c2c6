//! What a subscriber takes: its event, and what is made of the event's context.

mod any_event;
mod from_context;
mod from_envelope;
mod receipt;
mod state;

pub use self::{
    any_event::AnyEvent,
    from_context::{
        Extractor, FromContext, NoParameter, OptionalFromContext, Parameter, context, needs_of,
    },
    from_envelope::FromEnvelope,
    receipt::Receipt,
    state::{State, StateValue},
};
