//! CloudEvents 1.0 in JSON, structured mode.
//!
//! A header travels as an attribute of its own where CloudEvents allows that: its name consists of 1 to 20 lower-case
//! letters and digits and is not taken by another attribute; its value is not empty and has no control characters. The
//! other headers, and a key that is no such value, travel in the attribute `aurymetadata`: a string that holds a JSON
//! object, in printable ASCII.
//!
//! ```json
//! {"key":"","headers":{"X-Tenant":"a"}}
//! ```
//!
//! The content type of a payload is kept in the header `datacontenttype`, if it is another one than `application/json`,
//! and written from it, if it fits the data: JSON, text in a string, or bytes in base64.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use super::{
    Attribute, AttributeValue, Hint, Limits, WireError,
    data::{self, Data},
    members::{List, set_once},
    received::Received,
    sent::{write_extensions, write_id, write_time},
    text,
    writer::ObjectWriter,
};
use crate::envelope::{Envelope, Metadata};

/// The content type of payloads that have no other.
const JSON: &str = "application/json";

/// The header that keeps another one.
const CONTENT_TYPE: &str = Attribute::DataContentType.as_str();

/// Writes an event; `room` is what its attributes will take, about.
pub(super) fn encode(
    metadata: &Metadata,
    data: &Data<'_>,
    room: usize,
) -> Result<Vec<u8>, WireError> {
    let mut writer = ObjectWriter::with_capacity(room);
    writer.plain("specversion", "1.0");
    write_id(&mut writer, "id", &metadata.id())?;
    writer.plain("type", metadata.name().as_str());
    write_time(&mut writer, "time", metadata)?;
    let content_type = content_type(metadata, data);
    writer.string(CONTENT_TYPE, content_type.unwrap_or(data.usual_type()));
    write_extensions(&mut writer, metadata)?;

    let mut key = metadata.key();
    if let Some(fitting) = key.take_if(|key| text::is_attribute_value(key)) {
        writer.string("partitionkey", fitting);
    }
    let mut headers = Vec::new();
    for (name, value) in metadata.headers() {
        if text::is_extension(name, value) {
            writer.string(name, value);
        } else if name != CONTENT_TYPE || content_type.is_none() {
            headers.push((name, value));
        }
    }
    if key.is_some() || !headers.is_empty() {
        writer.string(Attribute::Rest.as_str(), &write_rest(key, &headers));
    }
    data.write(&mut writer);
    Ok(writer.finish())
}

/// The content type that an event came with, if it is not the usual one and fits the data.
fn content_type<'a>(metadata: &'a Metadata, data: &Data<'_>) -> Option<&'a str> {
    metadata
        .header(CONTENT_TYPE)
        .filter(|it| *it != JSON && data.may_be(it) && text::is_attribute_value(it))
}

/// What no attribute can hold.
fn write_rest(key: Option<&str>, headers: &[(&str, &str)]) -> String {
    let mut writer = ObjectWriter::ascii();
    if let Some(key) = key {
        writer.string("key", key);
    }
    writer.object("headers", |writer| {
        for (name, value) in headers {
            writer.string(name, value);
        }
    });
    String::from_utf8(writer.finish()).expect("it is written in ASCII")
}

/// Reads an event from its members.
pub(super) fn decode(
    members: List<'_>,
    hint: &Hint<'_>,
    limits: &Limits,
) -> Result<Envelope, WireError> {
    let mut attributes = Received::new(limits, Attribute::as_str);
    let (mut json, mut base64) = (None, None);
    for (name, value) in members {
        match &*name {
            "data" => set_once(&mut json, "data", value)?,
            "data_base64" if value.get() == "null" => {}
            "data_base64" => set_once(&mut base64, "data_base64", value)?,
            _ => match Attribute::named(&name) {
                Some(attribute) => attributes.set_json(attribute, value)?,
                None => attributes.header_json(name, value)?,
            },
        }
    }
    let content_type = settle(&mut attributes)?;
    let says_json = content_type.as_deref().map(|it| it == JSON || text::is_json(it));
    let payload = match (json, base64) {
        // JSON format §3.1.2: of `data` it is assumed that it is JSON, of `data_base64` it is not. What is declared as
        // something else is text, in a string.
        (Some(json), None) if says_json != Some(false) || json.get().starts_with('"') => {
            data::trusted(json, limits)?
        }
        (None, Some(base64)) if says_json == Some(true) => data::json_in_base64(base64, limits)?,
        (None, Some(base64)) => data::binary_in_base64(base64, limits)?,
        (None, None) => data::none(),
        (Some(_), Some(_)) => return Err(WireError::duplicate("data")),
        _ => return Err(WireError::ContentType),
    };
    attributes.into_envelope(payload, hint, limits)
}

/// Checks that the attributes are those of a CloudEvent, and finds a place for those that the metadata has none for:
/// the content type, which is returned, and what no attribute can hold.
pub(super) fn settle<'a>(attributes: &mut Received<'a>) -> Result<Option<Cow<'a, str>>, WireError> {
    for attribute in [Attribute::SpecVersion, Attribute::Id, Attribute::Source, Attribute::Type] {
        if !attributes.has(attribute) {
            return Err(WireError::Missing { attribute: attribute.as_str() });
        }
    }
    if attributes.take(Attribute::SpecVersion)?.is_none_or(|version| version != "1.0") {
        return Err(WireError::invalid(Attribute::SpecVersion.as_str(), "`1.0`"));
    }
    let content_type = attributes.take_unless_empty(Attribute::DataContentType)?;
    let rest = attributes.take(Attribute::Rest)?;
    let read = rest.as_deref().and_then(Rest::read);
    // One that did not fit the data is in the rest, and the attribute is the usual one of such data.
    let is_in_rest = read.as_ref().is_some_and(|rest| rest.headers.contains_key(CONTENT_TYPE));
    if let Some(other) = content_type.as_ref().filter(|it| *it != JSON && !is_in_rest) {
        attributes.header(CONTENT_TYPE.into(), AttributeValue::String(other.clone()))?;
    }
    match (read, rest) {
        (Some(read), _) => read.add_to(attributes)?,
        // Somebody else's attribute, which happens to have the name.
        (None, Some(text)) => {
            attributes.header(Attribute::Rest.as_str().into(), AttributeValue::String(text))?
        }
        (None, None) => {}
    }
    Ok(content_type)
}

/// What no attribute can hold, as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rest {
    key: Option<String>,
    headers: BTreeMap<String, String>,
}

impl Rest {
    fn read(text: &str) -> Option<Self> {
        text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
    }

    fn add_to(self, attributes: &mut Received<'_>) -> Result<(), WireError> {
        if let Some(key) = self.key {
            attributes.set(Attribute::PartitionKey, AttributeValue::String(key.into()))?;
        }
        for (name, value) in self.headers {
            attributes.header(name.into(), AttributeValue::String(value.into()))?;
        }
        Ok(())
    }
}
