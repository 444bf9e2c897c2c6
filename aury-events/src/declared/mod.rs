//! What is declared at link time: events, subscribers, and where they stand.

pub(crate) mod catalogue;
pub(crate) mod event;
pub(crate) mod location;
