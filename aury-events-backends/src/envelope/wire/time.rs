//! Times as text: RFC 3339.

use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The length of a time to the nanosecond.
const MAX_LEN: usize = "2018-04-05T17:31:00.123456789Z".len();

/// The years 0 to 9999, in seconds since the start of 1970: RFC 3339 can write no others.
const WRITABLE: RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// Whether a time can be written.
pub(super) fn is_writable(time: &SystemTime) -> bool {
    since_epoch(*time).is_some()
}

/// A time in UTC, with as many digits of the second as it needs; `None` if it cannot be written.
pub(super) fn write(time: SystemTime) -> Option<String> {
    let (seconds, nanos) = since_epoch(time)?;
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok()?.replace_nanosecond(nanos).ok()?;
    let mut text = Vec::with_capacity(MAX_LEN);
    date.format_into(&mut text, &Rfc3339).ok()?;
    String::from_utf8(text).ok()
}

/// The whole seconds since the start of 1970, and the nanoseconds after them, of a time that can be written.
fn since_epoch(time: SystemTime) -> Option<(i64, u32)> {
    let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).ok()?, since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = -i64::try_from(before.as_secs()).ok()?;
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds - 1, 1_000_000_000 - nanos),
            }
        }
    };
    WRITABLE.contains(&seconds).then_some((seconds, nanos))
}

/// Reads a time with its offset from UTC.
pub(super) fn read(text: &str) -> Option<SystemTime> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let (seconds, nanos) = (date.unix_timestamp(), date.nanosecond());
    // The first and the last hours of these years are beyond them in UTC, some of them.
    if !WRITABLE.contains(&seconds) {
        return None;
    }
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    };
    // Not every system's clock reaches as far as the text does.
    whole?.checked_add(Duration::from_nanos(nanos.into()))
}

/// Reads a time that may lack its offset, which then is UTC.
pub(super) fn read_naive(text: &str) -> Option<SystemTime> {
    read(text).or_else(|| read(&format!("{text}Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> Option<i128> {
        let time = read(text)?;
        Some(match time.duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        })
    }

    #[test]
    fn a_time_is_read_by_the_rules_of_rfc_3339() {
        let base = 1_522_949_460_000_000_000;
        for (text, expected) in [
            ("2018-04-05T17:31:00Z", base),
            ("2018-04-05t17:31:00z", base),
            ("2018-04-05T19:31:00+02:00", base),
            ("2018-04-05T12:01:00-05:30", base),
            ("2018-04-05T17:31:00-00:00", base),
            ("2018-04-05T17:31:00.1Z", base + 100_000_000),
            ("2018-04-05T17:31:00.123456789Z", base + 123_456_789),
            ("2018-04-05T17:31:00.1234567899Z", base + 123_456_789),
            ("1969-12-31T23:59:59.5Z", -500_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_799_999_999_999),
        ] {
            assert_eq!(nanos(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "now",
            "1522949460",
            "2018-04-05",
            "2018-04-05T17:31:00",
            "2018-04-05T17:31:00Z ",
            "2018-04-05T24:00:00Z",
            "2018-02-29T00:00:00Z",
            "2018-13-01T00:00:00Z",
            "20180405T173100Z",
            "+002018-04-05T17:31:00Z",
            "2018-04-05T17:31:00+24:00",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_without_offset_is_one_in_utc() {
        for (naive, utc) in [
            ("2018-04-05T17:31:00.123456", "2018-04-05T17:31:00.123456Z"),
            ("2018-04-05T17:31:00", "2018-04-05T17:31:00Z"),
            ("2018-04-05T19:31:00+02:00", "2018-04-05T17:31:00Z"),
        ] {
            assert_eq!(read_naive(naive), read(utc), "{naive}");
            assert!(read_naive(naive).is_some());
        }
        assert_eq!(read_naive("yesterday"), None);
    }

    #[test]
    fn a_time_is_written_in_utc_as_short_as_it_can_be() {
        for text in [
            "2018-04-05T17:31:00Z",
            "2018-04-05T17:31:00.1Z",
            "2018-04-05T17:31:00.000000001Z",
            "1969-12-31T23:59:59.999999999Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
        ] {
            assert_eq!(write(read(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn a_time_that_the_standard_cannot_write_is_refused() {
        let first = read("0000-01-01T00:00:00Z").unwrap();
        let last = read("9999-12-31T23:59:59.999999999Z").unwrap();
        let end = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let start = |seconds| UNIX_EPOCH.checked_sub(Duration::from_secs(seconds));
        let nano = Duration::from_nanos(1);
        let mut beyond = vec![first - nano, last + nano];
        beyond.extend([end(i64::MAX as u64), start(i64::MAX as u64)].into_iter().flatten());
        for time in beyond {
            assert_eq!(write(time), None, "{time:?}");
        }
    }
}
