//! Values as JSON text, and whether they come back from it as they were.
//!
//! `serde_json` writes some values that it cannot read again: a number that is not finite becomes `null`, and what is
//! nested too deeply is refused to the reader alone. `Some(None)` is written as `null`, and mostly comes back as `None`. A
//! publisher is told of these at once, with the field by name. It costs the event a second pass only if there is a `null`
//! in its text.

mod culprit;
mod excerpt;
mod round_trip;

use std::{fmt, io};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::ser::{CompactFormatter, Formatter};

use self::culprit::Hollow;
pub(crate) use self::excerpt::excerpt;
use super::EncodeError;

/// How deeply arrays and objects may be nested: what `serde_json` reads.
const MAX_DEPTH: usize = 127;

/// The value as JSON text.
///
/// # Errors
///
/// When it has no such text, or none that reads back as the value.
pub(super) fn write<T: Serialize + DeserializeOwned>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut text = Vec::with_capacity(128);
    let mut watch = Watch { depth: 0, wrote_null: false };
    let written =
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, &mut watch));
    let is_odd = watch.wrote_null || watch.depth > MAX_DEPTH;
    let hollow = if is_odd { culprit::find(value)? } else { Hollow::default() };
    written.map_err(|error| EncodeError::new(excerpt(&error)))?;
    if !hollow.is_empty() {
        keeps::<T>(&hollow, &text)?;
    }
    Ok(text)
}

/// Whether what is read from a text has a `Some` of nothing where the value had one, as types that take care of it do.
fn keeps<T: Serialize + DeserializeOwned>(hollow: &Hollow, text: &[u8]) -> Result<(), EncodeError> {
    // What cannot be read at all is found by `prove` alone: others may read it, as a pattern's subscribers do.
    let Ok(read) = serde_json::from_slice::<T>(text) else { return Ok(()) };
    match hollow.missing_in(&culprit::find(&read)?) {
        None => Ok(()),
        Some(field) => Err(EncodeError::new(format!(
            "`{field}` is a `Some` of nothing, which would come back as `None`"
        ))),
    }
}

/// Writes a value and reads it again, as happens on the way through a broker; gives the size of the text.
///
/// # Errors
///
/// When what comes back is something else.
pub(super) fn prove<T: Serialize + DeserializeOwned>(value: &T) -> Result<usize, EncodeError> {
    let text = write(value)?;
    round_trip::prove(&text, |text| serde_json::from_slice::<T>(text), write)?;
    Ok(text.len())
}

/// Writes compact JSON, and watches what is written.
struct Watch {
    depth: usize,
    wrote_null: bool,
}

impl Watch {
    fn descend(&mut self) -> io::Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(io::Error::other(TooDeep));
        }
        Ok(())
    }
}

impl Formatter for &mut Watch {
    fn write_null<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.wrote_null = true;
        CompactFormatter.write_null(writer)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.descend()?;
        CompactFormatter.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        CompactFormatter.end_array(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.descend()?;
        CompactFormatter.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        CompactFormatter.end_object(writer)
    }
}

#[derive(Debug)]
struct TooDeep;

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is nested more than {MAX_DEPTH} levels deep, which nobody could read")
    }
}

impl std::error::Error for TooDeep {}

#[cfg(test)]
mod tests;
