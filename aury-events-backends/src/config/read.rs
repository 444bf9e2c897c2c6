//! How the values of settings are read from text.
//!
//! Each reader is for a [`Setting`](super::Setting). An `Err` says what was expected, in the words of a message.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use super::InvalidChoice;

/// The longest timeout. Deadlines reckoned with it do not overflow.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Any text.
pub fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// The path of a file; no text is none.
pub fn path(text: &str) -> Result<Option<PathBuf>, String> {
    optional(text, |text| Ok(text.into()))
}

/// Something that may be left out: no text is `None`.
pub fn optional<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

/// `true` or `false`.
pub fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "expected `true` or `false`".to_owned())
}

/// A whole number in decimal digits.
pub fn number<T>(text: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| range.contains(number));
    number
        .ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
}

/// One of a few words.
pub fn choice<T: FromStr<Err = InvalidChoice>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: InvalidChoice| error.to_string())
}

/// A time longer than zero, and at most a year: a whole number with its unit, as in `500ms`, `30s`, `2m` or `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let nanos_per_unit = match &text[digits.len()..] {
        "ns" => Some(1),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60 * 1_000_000_000),
        "h" => Some(60 * 60 * 1_000_000_000_u64),
        _ => None,
    };
    let Ok(number) = digits.parse::<u64>() else {
        return Err("expected a whole number with `ms`, `s`, `m` or `h`, such as `30s`".to_owned());
    };
    let Some(unit) = nanos_per_unit else {
        return Err(match &text[digits.len()..] {
            "" => format!("expected a unit after the number, such as `{number}s` for seconds"),
            _ => "expected a whole number with `ms`, `s`, `m` or `h`, such as `30s`".to_owned(),
        });
    };
    let time = Duration::from_nanos(number.saturating_mul(unit));
    if time.is_zero() || time > YEAR {
        return Err("expected a time longer than zero, and at most a year".to_owned());
    }
    Ok(time)
}

/// A time as [`duration`] reads it. One of more than 584 years is cut short.
pub fn duration_text(time: Duration) -> String {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    match nanos {
        _ if nanos % 1_000_000_000 == 0 => format!("{}s", nanos / 1_000_000_000),
        _ if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
        _ => format!("{nanos}ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::QueueType;

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
    fn a_time_is_read_as_it_is_written() {
        for nanos in [1, 999, 1_000_000, 1_500_000, 30_000_000_000, 31_536_000_000_000_000] {
            let time = Duration::from_nanos(nanos);
            assert_eq!(duration(&duration_text(time)), Ok(time), "{time:?}");
        }
        assert!(duration(&duration_text(Duration::MAX)).is_err());
        assert!(duration(&duration_text(Duration::ZERO)).is_err());
    }

    #[test]
    fn a_number_is_whole_and_in_range() {
        assert_eq!(number("65535", 1..=65_535_u32), Ok(65_535));
        for text in ["0", "65536", "99999999999999999999", "-1", "1_000", "8MiB", "1e3", "", " 1"] {
            assert_eq!(
                number(text, 1..=65_535_u32).unwrap_err(),
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
    fn what_may_be_left_out_is_none_then() {
        assert_eq!(path(""), Ok(None));
        assert_eq!(path("ca.pem"), Ok(Some("ca.pem".into())));
        assert_eq!(flag("true"), Ok(true));
        assert_eq!(flag("yes").unwrap_err(), "expected `true` or `false`");
    }
}
