//! A subscription that was not made.

use std::{error::Error as StdError, fmt};

use aury_events_backends::envelope::{InvalidPattern, Pattern};

use super::{BackendFailure, Place};

/// Why a subscription was not made.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The text is not a pattern over event names.
    InvalidPattern {
        /// The text.
        pattern: String,
        /// What is wrong with it.
        source: InvalidPattern,
    },
    /// The backend has no subscriptions to patterns.
    NoPatterns {
        /// The bus.
        bus: String,
        /// The pattern.
        pattern: String,
    },
    /// The name that was given cannot be that of a subscriber.
    InvalidName {
        /// The name.
        name: String,
    },
    /// Another subscriber of this program has the name.
    NameTaken {
        /// The name.
        name: String,
        /// The function that has it; else, it is a subscription made at run time that has not ended.
        function: Option<Place>,
    },
    /// It takes a state that nobody gave to the manager.
    MissingState {
        /// The id of the subscriber.
        subscriber: String,
        /// The type of the state.
        state: &'static str,
    },
    /// It settles its events by itself, by a [`Receipt`](crate::Receipt), and has an option that says what becomes of
    /// them.
    SettledTwice {
        /// The id of the subscriber.
        subscriber: String,
        /// The option, or the second receipt.
        option: &'static str,
    },
    /// The backend could not do it.
    Backend(BackendFailure),
}

impl SubscribeError {
    pub(crate) fn invalid_pattern(pattern: &str, source: InvalidPattern) -> Self {
        Self::InvalidPattern { pattern: pattern.to_owned(), source }
    }

    pub(crate) fn no_patterns(bus: &str, pattern: Pattern) -> Self {
        Self::NoPatterns { bus: bus.to_owned(), pattern: pattern.to_string() }
    }

    pub(crate) fn missing_state(subscriber: &str, state: &'static str) -> Self {
        Self::MissingState { subscriber: subscriber.to_owned(), state }
    }

    pub(crate) fn settled_twice(subscriber: &str, option: &'static str) -> Self {
        Self::SettledTwice { subscriber: subscriber.to_owned(), option }
    }
}

impl From<BackendFailure> for SubscribeError {
    fn from(failure: BackendFailure) -> Self {
        Self::Backend(failure)
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidPattern { pattern, .. } => {
                write!(f, "`{pattern}` is not a pattern over event names")
            }
            Self::NoPatterns { bus, pattern } => write!(
                f,
                "cannot subscribe to `{pattern}`: the backend of the bus `{bus}` has no patterns"
            ),
            Self::InvalidName { name } => write!(
                f,
                "`{}` cannot be the name of a subscriber: that is made of ASCII letters, digits, `_`, `-`, `.` and `:`, \
                 has at most 200 bytes, and does not begin with `dynamic::`",
                name.escape_debug()
            ),
            Self::NameTaken { name, function: Some(function) } => {
                write!(f, "the name `{name}` is taken by the subscriber {function}")
            }
            Self::NameTaken { name, function: None } => write!(
                f,
                "the name `{name}` is taken by another subscription, which has not ended: unsubscribe that one first"
            ),
            Self::MissingState { subscriber, state } => write!(
                f,
                "`{subscriber}` takes a `State<{state}>`, but no such value was given: add `.state(..)` to the builder of \
                 the manager"
            ),
            Self::SettledTwice { subscriber, option } => write!(
                f,
                "`{subscriber}` takes a `Receipt`, by which it settles its events itself, and has {option} as well"
            ),
            Self::Backend(failure) => fmt::Display::fmt(failure, f),
        }
    }
}

impl StdError for SubscribeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::InvalidPattern { source, .. } => Some(source),
            Self::NoPatterns { .. }
            | Self::InvalidName { .. }
            | Self::NameTaken { .. }
            | Self::MissingState { .. }
            | Self::SettledTwice { .. } => None,
            Self::Backend(failure) => failure.source(),
        }
    }
}
