//! What a program declares: its events and its subscribers.

use serde::Serialize;

use super::{EventEntry, Location, SubscriberDeclaration};

/// The events and subscribers that are linked into the program.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Catalogue {
    /// All event types, by name, also those that nobody here subscribes to.
    pub events: Vec<EventInfo>,
    /// The subscribers that this manager runs, by id.
    pub subscribers: Vec<SubscriberInfo>,
}

/// An event type.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct EventInfo {
    /// The event's name.
    pub name: &'static str,
    /// The version of its data.
    pub version: u32,
    /// The bus it belongs to.
    pub bus: &'static str,
    /// The path of the type.
    pub type_path: &'static str,
    /// Where the type is declared.
    pub location: Location,
}

/// A subscriber.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SubscriberInfo {
    /// The stable id.
    pub id: &'static str,
    /// The event name or pattern that it listens to.
    pub topic: String,
    /// The bus that it listens on.
    pub bus: &'static str,
    /// The path of the function.
    pub path: &'static str,
    /// Where the function is declared.
    pub location: Location,
}

impl Catalogue {
    pub(crate) fn of(subscribers: &[&'static SubscriberDeclaration]) -> Self {
        let events = EventEntry::all().into_iter().map(|entry| EventInfo {
            name: entry.name,
            version: entry.version,
            bus: entry.bus,
            type_path: entry.type_path,
            location: entry.location,
        });
        let subscribers = subscribers.iter().map(|entry| SubscriberInfo {
            id: entry.id,
            topic: entry.topic.to_string(),
            bus: entry.bus,
            path: entry.path,
            location: entry.location,
        });
        Self { events: events.collect(), subscribers: subscribers.collect() }
    }
}
