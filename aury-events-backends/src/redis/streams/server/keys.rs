//! The names of all keys that a bus has on its server.

use std::sync::Arc;

/// Makes key names. Whatever is not an event's stream has a `:` after the prefix, which no event name holds.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// What all of them begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Stream: the events of that name.
    pub(crate) fn stream(&self, event: &str) -> String {
        format!("{}{event}", self.prefix)
    }

    /// Set: the names of all events that have a stream.
    pub(crate) fn streams(&self) -> String {
        format!("{}:streams", self.prefix)
    }

    /// Hash: when each group first subscribed to each topic, in milliseconds of the server's clock.
    pub(crate) fn subscribers(&self) -> String {
        format!("{}:subscribers", self.prefix)
    }

    /// String that expires: its consumer is alive.
    pub(crate) fn alive(&self, consumer: &str) -> String {
        format!("{}:alive:{consumer}", self.prefix)
    }

    /// Sorted set: what is to be delivered to a group again, or is published with a delay, by time.
    pub(crate) fn delayed(&self) -> String {
        format!("{}:delayed", self.prefix)
    }

    /// Sorted set: what was among the delayed and is no event, by the time at which it was set aside.
    pub(crate) fn set_aside(&self) -> String {
        format!("{}:set-aside", self.prefix)
    }

    /// Stream: what is to be delivered to that group again, now.
    pub(crate) fn retry(&self, group: &str) -> String {
        format!("{}:retry:{group}", self.prefix)
    }

    /// Stream: dead letters of that `broadcast` subscriber that are to be delivered to it again.
    pub(crate) fn replay(&self, group: &str) -> String {
        format!("{}:replay:{group}", self.prefix)
    }

    /// Hash that expires: the consumers of that `broadcast` subscriber.
    pub(crate) fn replayed_to(&self, group: &str) -> String {
        format!("{}:replayed-to:{group}", self.prefix)
    }

    /// Hash: how far each `broadcast` subscriber has read the events of that name.
    pub(crate) fn readers(&self, event: &str) -> String {
        format!("{}:readers:{event}", self.prefix)
    }

    /// Never there: asked whether there would be room for it.
    pub(crate) fn room(&self) -> String {
        format!("{}:room", self.prefix)
    }

    /// String that expires: one of the processes is trimming the streams.
    pub(crate) fn trimming(&self) -> String {
        format!("{}:trimming", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::EventName;

    #[test]
    fn no_event_has_the_stream_of_something_else() {
        let keys = Keys::new("");
        for key in [
            keys.streams(),
            keys.subscribers(),
            keys.alive("c"),
            keys.delayed(),
            keys.set_aside(),
            keys.retry("g"),
            keys.replay("g"),
            keys.replayed_to("g"),
            keys.readers("e"),
            keys.trimming(),
            keys.room(),
        ] {
            assert!(EventName::parse(&key).is_err(), "{key}");
        }
    }
}
