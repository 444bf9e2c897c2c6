//! What the value of a setting may be, and how it is read from text.
//!
//! An `Err` holds what was expected, in the words of a message.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use aury_events_backends::config::InvalidChoice;

/// AMQP 0-9-1 carries the prefetch count in 16 bits (`basic.qos`).
pub(super) const PREFETCH: RangeInclusive<u32> = 1..=65_535;
/// More than any queue should hold, and less than tokio's channels can.
pub(super) const QUEUE_CAPACITY: RangeInclusive<usize> = 1..=1 << 28;
/// Neither Redis (strings) nor RabbitMQ (`max_message_size`) takes more than 512 MiB.
pub(super) const MAX_PAYLOAD_BYTES: RangeInclusive<usize> = 1..=512 << 20;
/// A bound in bytes. Brokers count in 63 bits.
pub(super) const BYTES: RangeInclusive<usize> = 1..=isize::MAX as usize;
/// How many dead letters a subscriber may have.
pub(super) const DEAD_LETTERS: RangeInclusive<usize> = 1..=1 << 28;
/// How many processes may die over one delivery. One that dies once may be a mere deployment.
pub(super) const MAX_INTERRUPTIONS: RangeInclusive<u32> = 1..=1_000;
/// An event carries its hops in 16 bits; none means that subscribers publish nothing.
pub(super) const MAX_HOPS: RangeInclusive<u16> = 0..=u16::MAX;
/// The longest timeout. Deadlines reckoned with it do not overflow.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A whole number in decimal digits.
pub(super) fn number<T>(text: &str, range: &RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = text.parse().map_err(|_| expected_number(range))?;
    within(&number, range).map(|()| number)
}

/// Whether a number lies in the range.
pub(super) fn within<T>(number: &T, range: &RangeInclusive<T>) -> Result<(), String>
where
    T: PartialOrd + Display,
{
    if range.contains(number) { Ok(()) } else { Err(expected_number(range)) }
}

fn expected_number<T: Display>(range: &RangeInclusive<T>) -> String {
    format!("expected a whole number from {} to {}", range.start(), range.end())
}

/// Yes or no.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "expected `true` or `false`".to_owned())
}

/// One of a few words.
pub(super) fn choice<T: FromStr<Err = InvalidChoice>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: InvalidChoice| error.to_string())
}

/// A timeout as a whole number with its unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let millis_per_unit = match &text[digits.len()..] {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60 * 1000),
        "h" => Some(60 * 60 * 1000),
        _ => None,
    };
    let number = digits.parse::<u64>().ok();
    match (number, millis_per_unit) {
        (Some(number), Some(unit)) => timeout(Duration::from_millis(number.saturating_mul(unit))),
        (Some(number), None) if digits == text => {
            Err(format!("expected a unit after the number, such as `{number}s` for seconds"))
        }
        _ => Err("expected a whole number with `ms`, `s`, `m` or `h`, such as `30s`".to_owned()),
    }
}

/// Whether a time makes sense as a timeout.
pub(super) fn timeout(time: Duration) -> Result<Duration, String> {
    if time.is_zero() || time > YEAR {
        return Err("expected a time longer than zero, and at most a year".to_owned());
    }
    Ok(time)
}

/// The name of a backend, known or not.
pub(super) fn backend(name: &str) -> Result<String, String> {
    name_of(
        name,
        "_-",
        "expected a backend's name, such as `memory`, `redis`, `redis-streams` or `rabbitmq`",
    )
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

/// The name of an exchange: an AMQP 0-9-1 short string. The empty name is taken, by the default exchange.
pub(super) fn exchange(name: &str) -> Result<String, String> {
    check(name, (1..=255).contains(&name.len()), "expected a name of 1 to 255 bytes")
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
    use aury_events_backends::config::QueueType;

    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(
            duration("45").unwrap_err(),
            "expected a unit after the number, such as `45s` for seconds"
        );
        for text in ["", "s", "1.5s", "-1s", "30 s", "30S", "1h30m", "30d", "99999999999999999999s"]
        {
            assert_eq!(
                duration(text).unwrap_err(),
                "expected a whole number with `ms`, `s`, `m` or `h`, such as `30s`",
                "{text}"
            );
        }
    }

    #[test]
    fn a_time_is_neither_nothing_nor_eternity() {
        for text in ["0s", "0ms", "8761h", "18446744073709551615h"] {
            assert!(duration(text).unwrap_err().contains("longer than zero"), "{text}");
        }
        assert!(duration("8760h").is_ok());
    }

    #[test]
    fn a_number_is_whole_and_in_range() {
        assert_eq!(number("65535", &PREFETCH), Ok(65_535));
        for text in ["0", "65536", "99999999999999999999", "-1", "1_000", "8MiB", "1e3", "", " 1"] {
            assert_eq!(
                number(text, &PREFETCH).unwrap_err(),
                "expected a whole number from 1 to 65535",
                "{text}"
            );
        }
    }

    #[test]
    fn a_choice_names_the_alternatives() {
        assert_eq!(choice("classic"), Ok(QueueType::Classic));
        assert_eq!(choice::<QueueType>("x").unwrap_err(), "expected `quorum` or `classic`");
    }

    #[test]
    fn names_hold_only_what_a_broker_takes() {
        assert!(backend("redis-streams").is_ok());
        assert!(service("shop-2.eu_west").is_ok());
        assert!(source("/shop").is_ok() && source("https://shop.example/a?b#c").is_ok());
        assert!(exchange("aury.events").is_ok());
        for refused in [backend(""), backend("redis streams"), service("a/b"), service("größe")] {
            assert!(refused.is_err());
        }
        for refused in [source("my shop"), source("<x>"), exchange(""), exchange(&"x".repeat(256))]
        {
            assert!(refused.is_err());
        }
    }
}
