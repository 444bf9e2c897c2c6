//! Reading a JSON object without reading its values.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Attribute, Limits, WireError};

/// How many members an event has that are no headers: its attributes, and `data` or `data_base64`.
const ATTRIBUTES: usize = Attribute::COUNT + 1;

/// The members of a JSON object: names, and values that have been scanned and are not read yet.
///
/// A value is scanned in linear time and without recursion, however deep it is nested.
pub(super) struct Members<'a> {
    /// As many as an event can have.
    list: List<'a>,
    /// Whether there are others.
    more: bool,
    marks: Marks,
    max_headers: usize,
}

/// Names and values, in the order in which they were written.
pub(super) type List<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// Members by which a message is known for what it is. They count wherever they are.
#[derive(Default)]
struct Marks {
    spec_version: bool,
    event_name: bool,
    data: bool,
}

impl<'a> Members<'a> {
    /// Reads an object, which may or may not be an event.
    pub(super) fn read(json: &'a str, limits: &Limits) -> Result<Self, WireError> {
        // What is no object fails here: serde's message would quote from it.
        if json.trim_ascii_start().starts_with(|c| c != '{') {
            return Err(WireError::NotAnObject);
        }
        let mut reader = serde_json::Deserializer::from_str(json);
        let members = reader.deserialize_map(MembersVisitor { limits });
        members
            .and_then(|members| reader.end().map(|()| members))
            .map_err(|error| WireError::json("message", &error))
    }

    /// All members of an event.
    pub(super) fn into_list(self) -> Result<List<'a>, WireError> {
        if self.more {
            return Err(WireError::TooManyHeaders { limit: self.max_headers });
        }
        Ok(self.list)
    }

    /// Whether it is a CloudEvent: nothing else has a `specversion`.
    pub(super) fn is_cloudevent(&self) -> bool {
        self.marks.spec_version
    }

    /// Whether it is an envelope of aury-boot, which has an `event_name` and `data`.
    pub(super) fn is_aury(&self) -> bool {
        self.marks.event_name && self.marks.data
    }
}

struct MembersVisitor<'l> {
    limits: &'l Limits,
}

impl<'de> Visitor<'de> for MembersVisitor<'_> {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let max_headers = self.limits.max_headers;
        let mut members = Members {
            list: Vec::with_capacity(ATTRIBUTES),
            more: false,
            marks: Marks::default(),
            max_headers,
        };
        while let Some(Name(name)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            match &*name {
                "specversion" => members.marks.spec_version |= value.get() != "null",
                "event_name" => members.marks.event_name |= value.get().starts_with('"'),
                "data" => members.marks.data = true,
                _ => {}
            }
            if members.list.len() < max_headers.saturating_add(ATTRIBUTES) {
                members.list.push((name, value));
            } else {
                members.more = true;
            }
        }
        Ok(members)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Keeps a member that there may be one of.
pub(super) fn set_once<'a>(
    place: &mut Option<&'a RawValue>,
    name: &str,
    value: &'a RawValue,
) -> Result<(), WireError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(WireError::duplicate(name)),
    }
}
