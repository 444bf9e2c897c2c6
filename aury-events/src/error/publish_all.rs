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
        let (published, source) = (self.published.len(), &self.source);
        write!(f, "the event at index {published} and those after it were not published: {source}")
    }
}

impl StdError for PublishAllError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The error itself is in the text above.
        self.source.source()
    }
}

#[cfg(test)]
mod tests {
    use aury_events_backends::{BackendError, error::causes};

    use super::*;

    #[test]
    fn its_own_line_says_which_event_failed_and_why_and_no_text_comes_twice() {
        let error = BackendError::other("connect", "the socket is gone");
        let error = PublishError::from_backend(error, "default");
        let error = PublishAllError::new(vec![EventId::from("1"), EventId::from("2")], error);
        assert_eq!(
            error.to_string(),
            "the event at index 2 and those after it were not published: \
             could not publish on the bus `default`: could not connect"
        );
        let chain: Vec<_> = causes(&error).map(ToString::to_string).collect();
        assert_eq!(chain, ["the socket is gone"]);
    }
}
