//! The envelope of aury-boot, the Python framework: `{"id","event_name","timestamp","metadata","data"}`.
//!
//! Its `metadata` is free-form there. Here it holds the source, the extensions of CloudEvents under their names, and
//! the headers, each as a member of its own; those whose names are taken are in `metadata.headers`. What is received
//! there as something else than a simple value is a header, too: its JSON text.
//!
//! A `timestamp` without an offset, which Python's `datetime.now().isoformat()` gives, is read as UTC.

use std::time::SystemTime;

use serde_json::value::RawValue;

use super::{
    Attribute, AttributeValue, Hint, Limits, WireError,
    data::{self, Data},
    members::{List, Members, set_once},
    received::Received,
    sent::{write_extensions, write_id, write_time},
    time,
    writer::ObjectWriter,
};
use crate::envelope::{Envelope, Metadata};

/// The attribute that a member of `metadata` is; the others are headers.
fn in_metadata(name: &str) -> Option<Attribute> {
    let attribute = Attribute::named(name)?;
    match attribute {
        Attribute::Source
        | Attribute::TraceParent
        | Attribute::TraceState
        | Attribute::CorrelationId
        | Attribute::CausationId
        | Attribute::PartitionKey
        | Attribute::DataVersion
        | Attribute::Hops => Some(attribute),
        Attribute::SpecVersion
        | Attribute::Id
        | Attribute::Type
        | Attribute::Time
        | Attribute::DataContentType
        | Attribute::Rest => None,
    }
}

/// What attributes are called here.
fn name_of(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Type => "event_name",
        Attribute::Time => "timestamp",
        other => other.as_str(),
    }
}

/// The member of `metadata` that has the headers whose names are taken.
const HEADERS: &str = "headers";

/// Writes an event; `room` is what its metadata will take, about.
pub(super) fn encode(
    metadata: &Metadata,
    data: &Data<'_>,
    room: usize,
) -> Result<Vec<u8>, WireError> {
    let mut writer = ObjectWriter::with_capacity(room);
    write_id(&mut writer, "id", &metadata.id())?;
    writer.plain("event_name", metadata.name().as_str());
    write_time(&mut writer, "timestamp", metadata)?;
    writer.object("metadata", |writer| write_metadata(writer, metadata))?;
    if let Data::Binary(_) = data {
        writer.json("data", b"null");
    }
    data.write(&mut writer);
    Ok(writer.finish())
}

fn write_metadata(writer: &mut ObjectWriter, metadata: &Metadata) -> Result<(), WireError> {
    write_extensions(writer, metadata)?;
    if let Some(key) = metadata.key() {
        writer.string("partitionkey", key);
    }
    let is_taken = |name: &str| name == HEADERS || in_metadata(name).is_some();
    let mut taken = metadata.headers().filter(|(name, _)| is_taken(name)).peekable();
    if taken.peek().is_some() {
        writer.object(HEADERS, |writer| taken.for_each(|(name, value)| writer.string(name, value)));
    }
    for (name, value) in metadata.headers().filter(|(name, _)| !is_taken(name)) {
        writer.string(name, value);
    }
    Ok(())
}

/// Reads an event from its members.
pub(super) fn decode(
    members: List<'_>,
    hint: &Hint<'_>,
    limits: &Limits,
) -> Result<Envelope, WireError> {
    let mut attributes = Received::new(limits, name_of);
    let (mut json, mut base64, mut metadata) = (None, None, None);
    for (name, value) in members {
        match &*name {
            "id" => attributes.set_json(Attribute::Id, value)?,
            "event_name" => attributes.set_json(Attribute::Type, value)?,
            "timestamp" => match naive_time(value) {
                Some(time) => attributes.set(Attribute::Time, AttributeValue::Timestamp(time))?,
                None => attributes.set_json(Attribute::Time, value)?,
            },
            "metadata" => set_once(&mut metadata, "metadata", value)?,
            "data" => set_once(&mut json, "data", value)?,
            "data_base64" => set_once(&mut base64, "data_base64", value)?,
            _ => attributes.header_json(name, value)?,
        }
    }
    if let Some(metadata) = metadata.filter(|it| it.get() != "null") {
        read_metadata(&mut attributes, metadata, limits)?;
    }
    let payload = match (json.map(RawValue::get), base64) {
        // Bytes, as they are written above.
        (Some("null") | None, Some(base64)) if base64.get().starts_with('"') => {
            data::binary_in_base64(base64, limits)?
        }
        (_, base64) => {
            if let Some(other) = base64 {
                attributes.header_json("data_base64".into(), other)?;
            }
            json.map_or_else(|| Ok(data::none()), |json| data::trusted(json, limits))?
        }
    };
    attributes.into_envelope(payload, hint, limits)
}

fn naive_time(json: &RawValue) -> Option<SystemTime> {
    match AttributeValue::from_json(json) {
        Some(AttributeValue::String(text)) => time::read_naive(&text),
        _ => None,
    }
}

fn read_metadata<'a>(
    attributes: &mut Received<'a>,
    metadata: &'a RawValue,
    limits: &Limits,
) -> Result<(), WireError> {
    if !is_object(metadata) {
        return Err(WireError::invalid("metadata", "an object"));
    }
    attributes.count("metadata", metadata.get().len())?;
    for (name, value) in Members::read(metadata.get(), limits)?.into_list()? {
        match in_metadata(&name) {
            Some(attribute) => attributes.set_json(attribute, value)?,
            None if name == HEADERS && is_object(value) => {
                for (name, value) in Members::read(value.get(), limits)?.into_list()? {
                    attributes.header_json(name, value)?;
                }
            }
            None => attributes.header_json(name, value)?,
        }
    }
    Ok(())
}

fn is_object(json: &RawValue) -> bool {
    json.get().starts_with('{')
}
