//! What the transport knows of a message.

use std::time::SystemTime;

use super::{Attribute, WireError, text, time};
use crate::envelope::{EventId, EventName, InvalidName, id::uuid_v7, random};

/// What the transport knows of a message, for what the message does not say itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hint<'a> {
    name: Option<Name<'a>>,
    id: Option<&'a str>,
    time: Option<SystemTime>,
    pub(super) content_type: Option<&'a str>,
}

#[derive(Debug, Clone, Copy)]
enum Name<'a> {
    Event(&'a EventName),
    Text(&'a str),
}

impl<'a> Hint<'a> {
    /// The message came where events of this name do: on their channel, in their stream.
    pub fn event(name: &'a EventName) -> Self {
        Self { name: Some(Name::Event(name)), ..Self::default() }
    }

    /// The message came under this name, an event's or not: a routing key, the channel that matched a pattern.
    pub fn named(name: &'a str) -> Self {
        Self { name: Some(Name::Text(name)), ..Self::default() }
    }

    /// The transport has an id for the message, which stays the same when it is delivered again.
    #[must_use]
    pub fn id(mut self, id: &'a str) -> Self {
        self.id = Some(id);
        self
    }

    /// The message was sent at that time. Default: now.
    #[must_use]
    pub fn time(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// The message says that its contents are of that type.
    #[must_use]
    pub fn content_type(mut self, content_type: &'a str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// The name of an event that does not say its own.
    pub(super) fn event_name(&self) -> Result<EventName, WireError> {
        match self.name {
            Some(Name::Event(name)) => Ok(name.clone()),
            Some(Name::Text(text)) => {
                EventName::parse(text).map_err(|reason| WireError::Name { attribute: None, reason })
            }
            None => Err(WireError::Missing { attribute: Attribute::Type.as_str() }),
        }
    }

    /// The name of an event that says its own. Most often it is the one expected, which need not be copied.
    pub(super) fn event_name_of(&self, text: &str) -> Result<EventName, InvalidName> {
        match self.name {
            Some(Name::Event(name)) if name.as_str() == text => Ok(name.clone()),
            _ => EventName::parse(text),
        }
    }

    /// The time of an event that does not say its own.
    pub(super) fn event_time(&self) -> SystemTime {
        self.time.filter(time::is_writable).unwrap_or_else(SystemTime::now)
    }

    /// The id of an event that does not say its own.
    pub(super) fn event_id(&self, time: SystemTime) -> EventId {
        match self.id.filter(|id| text::is_attribute_value(id)) {
            Some(id) => id.into(),
            None => uuid_v7(time, random::words()).into(),
        }
    }
}
