//! Names known while compiling.

use aury_events_backends::EventName;

use super::Event;

/// The name of the bus that is meant where none is named.
pub const DEFAULT_BUS: &str = "default";

/// The name of an event type, checked while compiling.
pub(crate) fn name_of<E: Event>() -> EventName {
    const { EventName::from_static(E::NAME) }
}
