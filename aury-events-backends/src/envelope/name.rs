//! Event names.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use super::SharedStr;

/// The longest event name, in bytes: it has to fit an AMQP routing key (255 bytes) with room for a prefix.
const MAX_LEN: usize = 200;

/// The name of an event: segments of letters, digits, `_` and `-`, separated by dots (`order.created`); at most 200
/// bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventName(SharedStr);

/// A text that is not an event name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidName {
    /// It is longer than 200 bytes.
    TooLong,
    /// A segment is empty: at the start, at the end, between two dots, or altogether.
    EmptySegment,
    /// It holds something else than ASCII letters, digits, `_`, `-` and dots.
    Character,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "an event name has at most 200 bytes",
            Self::EmptySegment => "an event name has no empty segment",
            Self::Character => "an event name consists of ASCII letters, digits, `_`, `-` and dots",
        })
    }
}

impl std::error::Error for InvalidName {}

impl EventName {
    /// A name of the program text.
    ///
    /// # Panics
    ///
    /// When it is not a valid name: in a `const`, while compiling.
    pub const fn from_static(name: &'static str) -> Self {
        match check(name) {
            Ok(()) => Self(SharedStr::from_static(name)),
            Err(InvalidName::TooLong) => panic!("an event name has at most 200 bytes"),
            Err(InvalidName::EmptySegment) => panic!("an event name has no empty segment"),
            Err(InvalidName::Character) => {
                panic!("an event name consists of ASCII letters, digits, `_`, `-` and dots")
            }
        }
    }

    /// Takes a name from elsewhere.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        check(name).map(|()| Self(name.into()))
    }

    /// The name, if it is one of the program text.
    #[inline]
    pub(crate) fn as_static(&self) -> Option<&'static str> {
        self.0.as_static()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::parse(name)
    }
}

/// As its text.
impl Serialize for EventName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Whether `text` is an event name. In `const` form, so that names in code are checked while compiling.
const fn check(text: &str) -> Result<(), InvalidName> {
    let bytes = text.as_bytes();
    if bytes.len() > MAX_LEN {
        return Err(InvalidName::TooLong);
    }
    let mut segment = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'.' if segment == 0 => return Err(InvalidName::EmptySegment),
            b'.' => segment = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => segment += 1,
            _ => return Err(InvalidName::Character),
        }
        at += 1;
    }
    if segment == 0 { Err(InvalidName::EmptySegment) } else { Ok(()) }
}

impl std::borrow::Borrow<str> for EventName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dotted_words_of_limited_length() {
        for good in ["a", "order.created", "Order_v2.line-item.0", &"x".repeat(200)] {
            assert_eq!(EventName::parse(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", InvalidName::EmptySegment),
            (".", InvalidName::EmptySegment),
            ("order.", InvalidName::EmptySegment),
            ("order..created", InvalidName::EmptySegment),
            ("order created", InvalidName::Character),
            ("order.*", InvalidName::Character),
            ("ordér", InvalidName::Character),
            (&"x".repeat(201), InvalidName::TooLong),
        ] {
            assert_eq!(EventName::parse(bad), Err(why), "{bad}");
        }
    }
}
