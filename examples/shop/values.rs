//! What events carry: money and dates.

use std::{fmt, ops::AddAssign, str::FromStr};

use serde::{Deserialize, Serialize};

/// An amount in whole cents, so that sums are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Money(u64);

/// The largest amount that one order may have: sums of fewer than four thousand million orders cannot overflow.
const LARGEST: Money = Money(u32::MAX as u64);

impl Money {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) const fn dollars(dollars: u64) -> Self {
        Self(dollars * 100)
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// The text is not an amount of money, or too large a one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotMoney;

impl fmt::Display for NotMoney {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "is not in dollars and cents, from 0.00 to {}.{:02}",
            LARGEST.0 / 100,
            LARGEST.0 % 100
        )
    }
}

impl FromStr for Money {
    type Err = NotMoney;

    /// Reads `29`, `29.3` or `29.33`.
    fn from_str(text: &str) -> Result<Self, NotMoney> {
        let (dollars, cents) = text.split_once('.').unwrap_or((text, "0"));
        let dollars: u64 = whole(dollars).ok_or(NotMoney)?;
        let cents = match (whole::<u64>(cents).ok_or(NotMoney)?, cents.len()) {
            (tens, 1) => tens * 10,
            (cents, 2) => cents,
            _ => return Err(NotMoney),
        };
        let all = dollars.checked_mul(100).and_then(|dollars| dollars.checked_add(cents));
        all.map(Self).filter(|money| *money <= LARGEST).ok_or(NotMoney)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("${}.{:02}", grouped(self.0 / 100), self.0 % 100))
    }
}

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Date {
    /// As in 19970131.
    digits: u32,
}

/// The text is not a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotADate;

impl fmt::Display for NotADate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a day, as in 19970131")
    }
}

impl FromStr for Date {
    type Err = NotADate;

    /// Reads `YYYYMMDD`.
    fn from_str(text: &str) -> Result<Self, NotADate> {
        let digits: u32 = whole(text).filter(|_| text.len() == 8).ok_or(NotADate)?;
        let (year, month, day) = (digits / 10_000, digits / 100 % 100, digits % 100);
        let is_leap =
            year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            _ => 0,
        };
        if (1..=days).contains(&day) { Ok(Self { digits }) } else { Err(NotADate) }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digits } = self;
        write!(f, "{:04}-{:02}-{:02}", digits / 10_000, digits / 100 % 100, digits % 100)
    }
}

/// A number of which every character is a digit; the standard library takes a sign as well.
pub(crate) fn whole<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A number in groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 order`, `6,919 orders`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}
