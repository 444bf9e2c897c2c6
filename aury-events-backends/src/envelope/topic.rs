//! What a subscriber listens to: one event name, or a pattern of them.

use std::fmt;

use super::{EventName, InvalidName, SharedStr};

/// What a subscriber listens to.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Topic {
    /// Events of this name.
    Event(EventName),
    /// Events whose name matches.
    Pattern(Pattern),
}

impl Topic {
    /// Whether events of this name belong to the topic.
    pub fn matches(&self, name: &EventName) -> bool {
        match self {
            Self::Event(event) => event == name,
            Self::Pattern(pattern) => pattern.matches(name.as_str()),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(name) => fmt::Display::fmt(name, f),
            Self::Pattern(pattern) => fmt::Display::fmt(pattern, f),
        }
    }
}

/// A pattern over event names by the rules of AMQP's topic exchange: dot-separated segments, `*` for exactly one
/// segment, `#` for any number of them, none included.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern(SharedStr);

/// A text that is not a pattern over event names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPattern {
    /// `*` or `#` stands beside other characters; each stands for whole segments.
    Wildcard,
    /// What is no wildcard is no part of an event name either.
    Name(InvalidName),
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wildcard => f.write_str(
                "`*` and `#` stand for whole segments of an event name, as in `order.*` or `order.#`",
            ),
            Self::Name(reason) => fmt::Display::fmt(reason, f),
        }
    }
}

impl std::error::Error for InvalidPattern {}

impl Pattern {
    /// Takes a pattern.
    pub fn parse(pattern: &str) -> Result<Self, InvalidPattern> {
        for segment in pattern.split('.') {
            match segment {
                "*" | "#" => {}
                _ if segment.contains(['*', '#']) => return Err(InvalidPattern::Wildcard),
                _ => drop(EventName::parse(segment).map_err(InvalidPattern::Name)?),
            }
        }
        Ok(Self(pattern.into()))
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        // The classic wildcard match with one point of return: at a mismatch, the last `#` takes one segment more.
        // Linear in the name for each `#`, without recursion.
        let pattern: Vec<&str> = self.0.split('.').collect();
        let name: Vec<&str> = name.split('.').collect();
        let (mut p, mut n) = (0, 0);
        let mut resume: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(&"#") => {
                    resume = Some((p, n));
                    p += 1;
                }
                Some(&segment) if segment == "*" || segment == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => match &mut resume {
                    Some((hash, taken)) => {
                        *taken += 1;
                        p = *hash + 1;
                        n = *taken;
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|&rest| rest == "#")
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_the_rules_of_amqp() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("order.created", &["order.created"], &["order", "order.created.x", "order.paid"]),
            ("order.*", &["order.created"], &["order", "order.line.added", "user.created"]),
            ("*.created", &["order.created"], &["created", "a.b.created"]),
            ("#", &["a", "a.b.c"], &[]),
            ("order.#", &["order", "order.created", "order.line.added"], &["user.order"]),
            ("#.created", &["created", "a.created", "a.b.created"], &["created.a"]),
            ("a.#.z", &["a.z", "a.b.z", "a.z.b.z"], &["a", "a.b", "z"]),
            ("#.b.#.c.*", &["b.c.d", "a.b.b.c.c.d"], &["b.c", "a.c.b.d"]),
            ("*.#", &["a", "a.b"], &[]),
        ];
        for (pattern, matching, others) in cases {
            let pattern = Pattern::parse(pattern).unwrap();
            for name in *matching {
                assert!(pattern.matches(name), "{pattern} should match {name}");
            }
            for name in *others {
                assert!(!pattern.matches(name), "{pattern} should not match {name}");
            }
        }
    }

    #[test]
    fn a_wildcard_stands_for_whole_segments() {
        assert_eq!(Pattern::parse("order*"), Err(InvalidPattern::Wildcard));
        assert_eq!(Pattern::parse("a.#b"), Err(InvalidPattern::Wildcard));
        assert_eq!(Pattern::parse("a..b"), Err(InvalidPattern::Name(InvalidName::EmptySegment)));
        assert_eq!(Pattern::parse(""), Err(InvalidPattern::Name(InvalidName::EmptySegment)));
    }
}
