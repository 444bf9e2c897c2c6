//! What is known of an event type and of a subscriber when the program is linked.

use super::{Event, Location, Needs, Options, StaticTopic};

/// The link-time entry of an event type.
#[derive(Debug)]
pub struct EventEntry {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) bus: &'static str,
    pub(crate) type_path: &'static str,
    pub(crate) location: Location,
}

inventory::collect!(EventEntry);

impl EventEntry {
    /// The entry of `E`, as the derive submits it.
    pub const fn of<E: Event>(location: Location, type_path: &'static str) -> Self {
        Self { name: E::NAME, version: E::VERSION, bus: E::BUS, type_path, location }
    }

    /// All event types that are linked into the program, by name.
    pub(crate) fn all() -> Vec<&'static Self> {
        let mut all: Vec<_> = inventory::iter::<Self>.into_iter().collect();
        all.sort_unstable_by_key(|entry| (entry.name, entry.type_path));
        all
    }
}

/// What is known of a `#[subscribe]` function.
#[derive(Debug)]
pub(crate) struct SubscriberDeclaration {
    pub(crate) id: &'static str,
    pub(crate) path: &'static str,
    pub(crate) location: Location,
    pub(crate) bus: &'static str,
    pub(crate) topic: StaticTopic,
    pub(crate) options: Options,
    /// Names what the function's further parameters need at start-up.
    pub(crate) needs: fn(&mut Needs),
}
