//! What can be wrong with a message.

use std::{borrow::Cow, error::Error, fmt, str::Utf8Error};

use crate::envelope::{EncodeError, InvalidName, json::excerpt};

/// How much of a name that came with a message is shown.
const SHOWN_CHARS: usize = 40;

/// Why an event could not be written as bytes, or bytes could not be read as an event.
///
/// What it prints names the attribute and what is valid there; it never holds the payload or the value of an
/// attribute or header.
#[derive(Debug)]
#[non_exhaustive]
pub enum WireError {
    /// It is not text in UTF-8.
    Utf8 {
        /// What should have been: the message, or the payload in it.
        what: &'static str,
        /// Where it is not.
        source: Utf8Error,
    },
    /// It is not JSON text (RFC 8259).
    Json {
        /// What should have been: the message, or the payload in it.
        what: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// The message is JSON, but not an object.
    NotAnObject,
    /// An attribute is missing that CloudEvents 1.0 requires.
    Missing {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// An attribute or header does not have the value it should.
    Invalid {
        /// Its name, shortened if it is long.
        attribute: Cow<'static, str>,
        /// What it should be.
        expected: &'static str,
    },
    /// An attribute or header is there more than once.
    Duplicate {
        /// Its name, shortened if it is long.
        attribute: Cow<'static, str>,
    },
    /// The event's name is not an [`EventName`](crate::EventName).
    Name {
        /// The attribute that holds the name; without one, it is the channel or the routing key.
        attribute: Option<&'static str>,
        /// What is wrong with it.
        reason: InvalidName,
    },
    /// The payload is said to be something else than JSON, and is neither a string nor in base64.
    ContentType,
    /// Something is larger than the [`Limits`](super::Limits) allow.
    TooLarge {
        /// What is: the message, its payload or its metadata.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The largest size allowed, in bytes.
        limit: usize,
    },
    /// There are more headers than the [`Limits`](super::Limits) allow.
    TooManyHeaders {
        /// The largest number allowed.
        limit: usize,
    },
    /// The payload has no JSON form.
    Payload(EncodeError),
}

impl WireError {
    #[cold]
    pub(super) fn json(what: &'static str, error: &serde_json::Error) -> Self {
        Self::Json { what, reason: excerpt(error) }
    }

    #[cold]
    pub(super) fn invalid(attribute: &str, expected: &'static str) -> Self {
        Self::Invalid { attribute: shown(attribute), expected }
    }

    #[cold]
    pub(super) fn duplicate(attribute: &str) -> Self {
        Self::Duplicate { attribute: shown(attribute) }
    }
}

/// A name as it may be printed, whoever chose it: short, and without control characters.
fn shown(name: &str) -> Cow<'static, str> {
    let mut chars = name.chars();
    let mut shown: String = chars.by_ref().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown.into()
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf8 { what, .. } => write!(f, "the {what} is not text in UTF-8"),
            Self::Json { what, reason } => write!(f, "the {what} is not valid JSON: {reason}"),
            Self::NotAnObject => f.write_str(
                "the message is not a JSON object: expected a CloudEvent, an envelope of aury-boot or \
                 the event's data",
            ),
            Self::Missing { attribute } => write!(
                f,
                "`{attribute}` is missing: a CloudEvent has `specversion`, `id`, `source` and `type`"
            ),
            Self::Invalid { attribute, expected } => {
                write!(f, "`{attribute}` is not valid: expected {expected}")
            }
            Self::Duplicate { attribute } => write!(f, "`{attribute}` is there more than once"),
            Self::Name { attribute: Some(attribute), .. } => {
                write!(f, "the event name in `{attribute}` is not valid")
            }
            Self::Name { attribute: None, .. } => {
                f.write_str("the channel or routing key is not the name of an event")
            }
            Self::ContentType => f.write_str(
                "the data is declared as something else than JSON, so that it is a string or \
                 `data_base64`; for other data, expected a content type such as `application/json`",
            ),
            Self::TooLarge { what, size, limit } => {
                write!(f, "the {what} has {size} bytes: at most {limit} are allowed")
            }
            Self::TooManyHeaders { limit } => {
                write!(f, "the event has too many headers: at most {limit} are allowed")
            }
            Self::Payload(error) => error.fmt(f),
        }
    }
}

impl Error for WireError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Utf8 { source, .. } => Some(source),
            Self::Name { reason, .. } => Some(reason),
            Self::Json { .. }
            | Self::NotAnObject
            | Self::Missing { .. }
            | Self::Invalid { .. }
            | Self::Duplicate { .. }
            | Self::ContentType
            | Self::TooLarge { .. }
            | Self::TooManyHeaders { .. }
            | Self::Payload(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_outside_is_shown_short_and_printable() {
        let long = "x".repeat(1000);
        let text = WireError::duplicate(&long).to_string();
        assert_eq!(text, format!("`{}…` is there more than once", "x".repeat(40)));
        let text = WireError::invalid("a\n\u{1b}[0m", "a number").to_string();
        assert_eq!(text, r"`a\n\u{1b}[0m` is not valid: expected a number");
    }

    #[test]
    fn a_limit_is_named_with_the_size() {
        let error = WireError::TooLarge { what: "payload", size: 9, limit: 8 };
        assert_eq!(error.to_string(), "the payload has 9 bytes: at most 8 are allowed");
    }
}
