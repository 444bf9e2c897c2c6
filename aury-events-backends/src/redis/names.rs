//! What keys are called on the server, as far as both backends agree on it.
//!
//! The stream or channel of an event is `{prefix}{event}`. Every other key has a `:` after the prefix. A prefix ends
//! with one `:` and holds no two in a row, and an event's name holds none: so no key of one bus is a key of another, and
//! none is the stream of an event that happens to be called like it. A service and a subscriber are joined by a `/`,
//! which neither may hold.

use std::{error::Error, fmt};

use crate::error::BackendError;

/// A prefix by which the keys of two buses, or of a bus and its events, could be the same.
#[derive(Debug, PartialEq, Eq)]
struct AmbiguousPrefix {
    prefix: String,
    valid: String,
}

impl fmt::Display for AmbiguousPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "with the prefix `{}`, keys of this bus could be those of another one: a prefix ends with one `:` and holds \
             no `::`, as in `{}`",
            self.prefix, self.valid
        )
    }
}

impl Error for AmbiguousPrefix {}

/// Checks what the names of keys are to begin with. None at all is a prefix, too.
///
/// # Errors
///
/// When other prefixes would lead to the same keys: it does not end with `:`, begins with one, or holds two in a row.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), BackendError> {
    let is_empty = prefix.is_empty();
    if is_empty || prefix.strip_suffix(':').is_some_and(|rest| rest.split(':').all(is_filled)) {
        return Ok(());
    }
    let parts: Vec<_> = prefix.split(':').filter(|part| is_filled(part)).collect();
    let valid = if parts.is_empty() { "events".to_owned() } else { parts.join(":") };
    let problem = AmbiguousPrefix { prefix: prefix.to_owned(), valid: format!("{valid}:") };
    Err(BackendError::other("use the configured prefix of keys", problem))
}

fn is_filled(part: &str) -> bool {
    !part.is_empty()
}

/// The keys of one subscriber's dead letters.
#[derive(Debug, Clone)]
pub(crate) struct LetterKeys {
    /// Stream: the letters.
    pub(crate) letters: String,
    /// Number: how many bytes they have.
    pub(crate) bytes: String,
    under_way: String,
}

impl LetterKeys {
    pub(crate) fn new(prefix: &str, group: &str) -> Self {
        Self {
            letters: format!("{prefix}:dead-letters:{group}"),
            bytes: format!("{prefix}:dead-letter-bytes:{group}"),
            under_way: format!("{prefix}:replaying:{group}"),
        }
    }

    /// String that expires: the letter of that id is under way to its subscriber.
    pub(crate) fn under_way(&self, id: &str) -> String {
        format!("{}/{id}", self.under_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::subscriber_name;
    use crate::{envelope::EventName, error::WithCauses};

    #[test]
    fn a_prefix_ends_with_one_colon_or_is_refused_with_one_that_does() {
        for good in ["", "events:", "shop.events:", "{shop}:", "events:domain:"] {
            assert!(check_prefix(good).is_ok(), "{good}");
        }
        for (bad, remedy) in [
            ("events", "`events:`"),
            ("events.", "`events.:`"),
            ("events::", "`events:`"),
            (":events:", "`events:`"),
            ("a::b", "`a:b:`"),
            (":", "`events:`"),
        ] {
            let error = check_prefix(bad).unwrap_err();
            assert!(WithCauses(&error).to_string().ends_with(remedy), "{bad}: {error:?}");
        }
    }

    #[test]
    fn no_event_has_the_key_of_a_dead_letter() {
        let keys = LetterKeys::new("", "shop/mail");
        for key in [&keys.letters, &keys.bytes, &keys.under_way("1-0")] {
            assert!(EventName::parse(key).is_err(), "{key}");
        }
    }

    #[test]
    fn a_service_and_its_subscriber_cannot_be_mistaken_for_others() {
        assert_ne!(subscriber_name("shop.eu", "mail"), subscriber_name("shop", "eu.mail"));
    }
}
