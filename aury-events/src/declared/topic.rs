//! What a subscriber listens to.

use std::fmt;

use aury_events_backends::{EventName, Topic, envelope::Pattern};

use super::Event;

/// What a subscriber listens to, as it is known while compiling.
#[derive(Debug, Clone, Copy)]
pub struct StaticTopic(TopicText);

#[derive(Debug, Clone, Copy)]
enum TopicText {
    Event(&'static str),
    Pattern(&'static str),
}

impl StaticTopic {
    /// Events of type `E`.
    pub const fn event<E: Event>() -> Self {
        Self(TopicText::Event(E::NAME))
    }

    /// Events whose names match a pattern that the macro has checked.
    pub const fn pattern(pattern: &'static str) -> Self {
        Self(TopicText::Pattern(pattern))
    }

    pub(crate) fn is_pattern(&self) -> bool {
        matches!(self.0, TopicText::Pattern(_))
    }

    pub(crate) fn to_topic(self) -> Topic {
        match self.0 {
            TopicText::Event(name) => Topic::Event(EventName::from_static(name)),
            TopicText::Pattern(pattern) => Topic::Pattern(
                Pattern::parse(pattern).expect("the macro accepts valid patterns only"),
            ),
        }
    }
}

impl fmt::Display for StaticTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TopicText::Event(text) | TopicText::Pattern(text) => f.write_str(text),
        }
    }
}
