//! Durations as users write them: `"500ms"`, `"2s"`, `"1m"`, `"1h"`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Error, LitStr, Result};

/// A duration of whole milliseconds; in code, a `Duration` that is known while compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

/// The units and their lengths, from the longest.
const UNITS: [(&str, Millis); 4] =
    [("h", Millis(3_600_000)), ("m", Millis(60_000)), ("s", Millis(1_000)), ("ms", Millis(1))];

const YEAR: Millis = Millis(365 * 24 * 3_600_000);

pub(crate) fn duration(literal: &LitStr) -> Result<Millis> {
    let text = literal.value();
    let message = match read(&text) {
        Some(Some(duration)) if duration <= YEAR => return Ok(duration),
        Some(_) => "a duration is at most a year: write \"8760h\" or less".to_owned(),
        None => {
            let instead = meant(&text).map(|text| format!(": write {text:?}")).unwrap_or_default();
            format!("a duration is a whole number and a unit, `ms`, `s`, `m` or `h`{instead}")
        }
    };
    Err(Error::new(literal.span(), message))
}

/// A number and a unit; `Some(None)` when the number is out of all proportion.
fn read(text: &str) -> Option<Option<Millis>> {
    let (number, unit) = split_where(text, |c| !c.is_ascii_digit());
    let (_, Millis(unit)) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let is_number = !number.is_empty();
    is_number.then(|| Some(Millis(number.parse::<u64>().ok()?.checked_mul(unit)?)))
}

/// What was probably meant by `"30"`, `"30 sec"`, `"1.5s"` or `"1d"`.
fn meant(text: &str) -> Option<String> {
    let (number, word) = split_where(text.trim(), |c| !c.is_ascii_digit() && c != '.');
    let unit = match word.trim().to_ascii_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => 1,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 24 * 3_600_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u64.checked_pow(fraction.len().try_into().ok()?)?;
    let scaled = digits.checked_mul(unit)?;
    let millis = scaled.is_multiple_of(scale).then_some(scaled / scale)?;

    let is_exact = |length: u64| length <= unit && millis.is_multiple_of(length);
    let (name, Millis(length)) = UNITS.into_iter().find(|(_, Millis(length))| is_exact(*length))?;
    (Millis(millis) <= YEAR).then(|| format!("{}{name}", millis / length))
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

impl ToTokens for Millis {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Millis(millis) = self;
        tokens.extend(quote!(::core::time::Duration::from_millis(#millis)));
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    fn read(text: &str) -> std::result::Result<u64, String> {
        match duration(&LitStr::new(text, Span::call_site())) {
            Ok(Millis(millis)) => Ok(millis),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("2s", 2_000),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("0s", 0),
            ("8760h", 31_536_000_000),
        ] {
            assert_eq!(read(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn what_was_meant_is_what_to_write() {
        for (text, instead) in [
            ("30", "30s"),
            ("0", "0s"),
            ("1.5s", "1500ms"),
            ("1.5h", "90m"),
            ("2.0s", "2s"),
            (".5s", "500ms"),
            ("30 s", "30s"),
            ("30S", "30s"),
            ("10 seconds", "10s"),
            ("5min", "5m"),
            ("2 Hours", "2h"),
            ("1d", "24h"),
        ] {
            assert_eq!(
                read(text),
                Err(format!(
                    "a duration is a whole number and a unit, `ms`, `s`, `m` or `h`: \
                     write {instead:?}"
                )),
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_is_made_of_what_makes_no_sense() {
        for text in ["", "s", "fast", "-1s", "1.5ms", "1m30s", "1.2.3s", ".", "100us", "400d"] {
            assert_eq!(
                read(text),
                Err("a duration is a whole number and a unit, `ms`, `s`, `m` or `h`".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_duration_is_at_most_a_year() {
        for text in ["8761h", "31536000001ms", "99999999999999999999s", "9999999999999999999h"] {
            assert_eq!(
                read(text),
                Err("a duration is at most a year: write \"8760h\" or less".to_owned()),
                "{text}"
            );
        }
    }
}
