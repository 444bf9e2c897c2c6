//! What the names and identities of a manager may be; the values of a bus's settings are checked as those declare it.
//!
//! An `Err` holds what was expected, in the words of a message.

use aury_events_backends::config::read;

/// The name of a backend, known or not.
pub(super) fn backend(name: &str) -> Result<String, String> {
    name_of(name, "_-", "expected a backend's name, such as `memory`: letters, digits, `_` and `-`")
}

/// The name of a service: it becomes part of queue names.
pub(super) fn service(name: &str) -> Result<String, String> {
    name_of(name, "_-.", "expected letters, digits, `_`, `-` and `.`")
}

/// The name of a bus.
pub(super) fn bus(name: &str) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_name = !name.is_empty() && name.chars().all(valid);
    check(name, is_name, "expected lower-case letters, digits and `_`")
}

/// How many events may precede one in its chain. An event carries its hops in 16 bits; none means that subscribers
/// publish nothing.
pub(super) fn max_hops(text: &str) -> Result<u16, String> {
    read::number(text, 0..=u16::MAX)
}

/// Globs over the ids of subscribers. These are paths of functions, or names made of ASCII.
pub(super) fn subscribers(globs: &str) -> Result<String, String> {
    let valid = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_-.:,*".contains(c);
    let expected =
        "expected ids of subscribers, in which `*` stands for any characters, separated by commas";
    check(globs, globs.chars().all(valid), expected)
}

fn name_of(name: &str, signs: &str, expected: &str) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
    check(name, !name.is_empty() && name.chars().all(valid), expected)
}

/// The `source` of events: a URI reference (CloudEvents 1.0 §3.1.2).
pub(super) fn source(uri: &str) -> Result<String, String> {
    // The characters that RFC 3986 leaves to no part of a URI.
    let valid = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
    let is_reference = !uri.is_empty() && uri.chars().all(valid);
    check(uri, is_reference, "expected a URI reference, such as `/shop`")
}

fn check(text: &str, valid: bool, expected: &str) -> Result<String, String> {
    if valid { Ok(text.to_owned()) } else { Err(expected.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_only_what_a_broker_takes() {
        assert!(backend("redis-streams").is_ok());
        assert!(service("shop-2.eu_west").is_ok());
        assert!(source("/shop").is_ok() && source("https://shop.example/a?b#c").is_ok());
        for refused in [backend(""), backend("redis streams"), service("a/b"), service("größe")] {
            assert!(refused.is_err());
        }
        for refused in [source("my shop"), source("<x>")] {
            assert!(refused.is_err());
        }
    }
}
