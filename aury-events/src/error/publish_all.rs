//! Several events of which not all were published.

use std::{error::Error as StdError, fmt};

use aury_events_backends::EventId;

use super::PublishError;

/// Why some of many events were not published.
#[derive(Debug)]
pub struct PublishAllError {
    published: Vec<EventId>,
    source: PublishError,
}

impl PublishAllError {
    pub(crate) fn new(published: Vec<EventId>, source: PublishError) -> Self {
        Self { published, source }
    }

    /// The ids of the events that were published: all before the one that failed. Their number is the index of that one.
    pub fn published(&self) -> &[EventId] {
        &self.published
    }

    /// Why the next one was not.
    pub fn error(&self) -> &PublishError {
        &self.source
    }
}

impl fmt::Display for PublishAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events were published, the next one was not", self.published.len())
    }
}

impl StdError for PublishAllError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}
