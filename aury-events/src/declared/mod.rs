//! What is declared at link time: event types, subscribers with their options, and where they stand.

mod catalogue;
mod entry;
mod event;
mod key;
mod location;
mod names;
mod options;
mod retry;
mod state;
mod topic;

pub use self::{
    catalogue::{Catalogue, EventInfo, SubscriberInfo},
    entry::EventEntry,
    event::{Event, EventData, EventExt, IntoEvent},
    key::{EventKey, displayed},
    location::Location,
    names::DEFAULT_BUS,
    options::{Batch, Options, Order},
    retry::Retry,
    state::Needs,
    topic::StaticTopic,
};
pub(crate) use self::{entry::SubscriberDeclaration, names::name_of, state::StateKey};
