//! What all formats write alike.

use uuid::Uuid;

use super::{Attribute, WireError, text, time, writer::ObjectWriter};
use crate::envelope::{EventId, Metadata};

/// Writes the attributes that tie an event to others, and the source; the key and the headers are left to each format.
pub(super) fn write_extensions(
    writer: &mut ObjectWriter,
    metadata: &Metadata,
) -> Result<(), WireError> {
    let source = Attribute::Source.as_str();
    if !text::is_uri_reference(metadata.source()) {
        return Err(WireError::invalid(source, "a URI reference (RFC 3986)"));
    }
    writer.plain(source, metadata.source());
    writer.plain("traceparent", metadata.trace().to_header());
    if let Some(tracestate) = metadata.tracestate() {
        write_text(writer, "tracestate", tracestate)?;
    }
    write_id(writer, "correlationid", &metadata.correlation_id())?;
    if let Some(id) = metadata.causation_id() {
        write_id(writer, "causationid", &id)?;
    }
    match i32::try_from(metadata.version()) {
        Ok(_) => writer.number("dataversion", metadata.version()),
        // An integer of CloudEvents has 32 bits, one of them for the sign.
        Err(_) => writer.plain("dataversion", metadata.version().to_string()),
    }
    writer.number("hops", metadata.hops().into());
    Ok(())
}

/// Writes an id, which has to be what CloudEvents takes.
pub(super) fn write_id(
    writer: &mut ObjectWriter,
    name: &'static str,
    id: &EventId,
) -> Result<(), WireError> {
    if let Some(text) = id.as_foreign() {
        return write_text(writer, name, text);
    }
    let uuid = id.as_uuid().unwrap_or_default();
    writer.plain(name, uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    Ok(())
}

fn write_text(writer: &mut ObjectWriter, name: &'static str, value: &str) -> Result<(), WireError> {
    if !text::is_attribute_value(value) {
        return Err(WireError::invalid(name, "a string without control characters, not empty"));
    }
    writer.string(name, value);
    Ok(())
}

/// Writes when the event was published.
pub(super) fn write_time(
    writer: &mut ObjectWriter,
    name: &'static str,
    metadata: &Metadata,
) -> Result<(), WireError> {
    let time = time::write(metadata.time())
        .ok_or_else(|| WireError::invalid(name, "a time in the years 0 to 9999"))?;
    writer.plain(name, time);
    Ok(())
}
