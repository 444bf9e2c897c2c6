//! Entries of streams, as the server sends them.

use std::{fmt, str::FromStr};

use redis::{RedisWrite, ToRedisArgs, Value};

/// The field of an entry that holds the envelope.
pub(crate) const EVENT: &str = "event";

/// The field of an entry of a retry stream that holds the number of the attempt to come.
pub(crate) const ATTEMPT: &str = "attempt";

/// The field of an entry of a replay stream that holds the id of the dead letter.
const LETTER: &str = "letter";

/// The id of an entry: the server's clock in milliseconds, and a number within the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct EntryId {
    millis: u64,
    number: u64,
}

impl FromStr for EntryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (millis, number) = text.split_once('-').ok_or(())?;
        Ok(Self { millis: millis.parse().map_err(drop)?, number: number.parse().map_err(drop)? })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl ToRedisArgs for EntryId {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        out.write_arg_fmt(self);
    }
}

impl redis::ToSingleRedisArg for EntryId {}

/// An entry.
#[derive(Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// Names and values in turn, as they came.
    fields: Vec<Value>,
}

impl Entry {
    /// The envelope: the field of that name, or the only one, as others write it.
    pub(crate) fn event(&mut self) -> Option<Vec<u8>> {
        let only = (self.fields.len() == 2).then_some(1);
        let index = self.place_of(EVENT).or(only)?;
        bytes(std::mem::replace(&mut self.fields[index], Value::Nil))
    }

    /// Whether only its id is left.
    pub(crate) fn is_deleted(&self) -> bool {
        self.fields.is_empty()
    }

    /// The number of the attempt, in an entry of a retry stream; 1 in others.
    pub(crate) fn attempt(&self) -> u32 {
        self.text(ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(1)
    }

    /// The id of the dead letter that it was.
    pub(crate) fn letter(&self) -> Option<String> {
        self.text(LETTER).map(str::to_owned)
    }

    fn text(&self, field: &str) -> Option<&str> {
        std::str::from_utf8(as_bytes(&self.fields[self.place_of(field)?])?).ok()
    }

    /// Where the value of a field is.
    fn place_of(&self, field: &str) -> Option<usize> {
        let names = self.fields.iter().step_by(2);
        let number = names.map(as_bytes).position(|name| name == Some(field.as_bytes()))?;
        Some(2 * number + 1).filter(|&place| place < self.fields.len())
    }

    /// `[id, [name, value, …]]`. An entry that has been deleted has no fields.
    pub(crate) fn parse(value: Value) -> Option<Self> {
        let [id, fields]: [Value; 2] = array(value)?.try_into().ok()?;
        Some(Self { id: entry_id(id)?, fields: array(fields).unwrap_or_default() })
    }
}

/// The entries by stream, as `XREAD` and `XREADGROUP` give them: nil when there are none.
pub(crate) fn parse_streams(value: Value) -> Vec<(Vec<u8>, Vec<Entry>)> {
    let streams: Vec<(Value, Value)> = match value {
        Value::Map(streams) => streams,
        other => array(other)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|stream| {
                let [key, entries]: [Value; 2] = array(stream)?.try_into().ok()?;
                Some((key, entries))
            })
            .collect(),
    };
    streams
        .into_iter()
        .filter_map(|(key, entries)| Some((bytes(key)?, parse_entries(entries))))
        .collect()
}

/// The entries of one stream, as `XCLAIM` and `XRANGE` give them.
pub(crate) fn parse_entries(value: Value) -> Vec<Entry> {
    array(value).unwrap_or_default().into_iter().filter_map(Entry::parse).collect()
}

/// An entry that was another consumer's.
#[derive(Debug, PartialEq)]
pub(crate) struct Taken {
    pub(crate) entry: Entry,
    pub(crate) count: u64,
    /// Whether that consumer's process has died.
    pub(crate) is_suspect: bool,
}

/// What `claim.lua` gives: `[[count, 1 if its process has died, entry], …]`.
pub(crate) fn parse_taken(value: Value) -> Vec<Taken> {
    let parse = |value| {
        let [count, is_suspect, entry]: [Value; 3] = array(value)?.try_into().ok()?;
        let count = std::str::from_utf8(&bytes(count)?).ok()?.parse().ok()?;
        Some(Taken { entry: Entry::parse(entry)?, count, is_suspect: is_suspect == Value::Int(1) })
    };
    array(value).unwrap_or_default().into_iter().filter_map(parse).collect()
}

/// Which entries a consumer has not acknowledged, and how often each has been delivered, as `XPENDING` gives them:
/// `[[id, consumer, idle, count], …]`.
pub(crate) fn parse_pending(value: Value) -> Vec<(EntryId, u64)> {
    let parse = |value| {
        let [id, _, _, count]: [Value; 4] = array(value)?.try_into().ok()?;
        Some((entry_id(id)?, number(count)?))
    };
    array(value).unwrap_or_default().into_iter().filter_map(parse).collect()
}

fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

fn as_bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

fn number(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

fn entry_id(value: Value) -> Option<EntryId> {
    std::str::from_utf8(&bytes(value)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn entry(id: &str, fields: &[&str]) -> Value {
        Value::Array(vec![text(id), Value::Array(fields.iter().map(|it| text(it)).collect())])
    }

    #[test]
    fn both_protocols_give_the_same_entries() {
        let entries =
            || Value::Array(vec![entry("5-1", &["event", "{}"]), entry("5-2", &["x", "y"])]);
        let resp2 = Value::Array(vec![Value::Array(vec![text("s"), entries()])]);
        let resp3 = Value::Map(vec![(text("s"), entries())]);
        let streams = parse_streams(resp3);
        assert_eq!(streams, parse_streams(resp2));
        assert_eq!(streams[0].1[1].id, EntryId { millis: 5, number: 2 });
        assert_eq!(parse_streams(Value::Nil), []);
    }

    #[test]
    fn the_envelope_is_the_field_of_that_name_or_the_only_one() {
        let event = |fields: &[&str]| Entry::parse(entry("1-0", fields)).unwrap().event();
        assert_eq!(event(&["attempt", "3", "event", "{}"]), Some(b"{}".to_vec()));
        assert_eq!(event(&["data", "{}"]), Some(b"{}".to_vec()));
        assert_eq!(event(&["a", "1", "b", "2"]), None);
        assert_eq!(event(&[]), None);
    }

    #[test]
    fn ids_sort_by_number_and_print_as_they_were_read() {
        let id = |text: &str| text.parse::<EntryId>().unwrap();
        assert!(id("9-10") > id("9-9") && id("10-0") > id("9-10"));
        assert_eq!(id("1700000000000-7").to_string(), "1700000000000-7");
        assert!("5".parse::<EntryId>().is_err());
    }
}
