//! The data of events, as messages bring it and take it.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::value::RawValue;

use super::{AttributeValue, Limits, WireError, text, writer::ObjectWriter};
use crate::envelope::Payload;

/// What is written of an event's data.
pub(super) enum Data<'a> {
    /// JSON text.
    Json(Cow<'a, [u8]>),
    Binary(&'a [u8]),
}

impl Data<'_> {
    /// Its size in bytes, without that of its encoding.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(json) => json.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// The content type of what has no other.
    pub(super) fn usual_type(&self) -> &'static str {
        match self {
            Self::Json(_) => "application/json",
            Self::Binary(_) => "application/octet-stream",
        }
    }

    /// Whether it is read back as what it is when it is declared to be of that type.
    pub(super) fn may_be(&self, content_type: &str) -> bool {
        match self {
            Self::Json(_) if text::is_json(content_type) => true,
            Self::Json(json) => json.starts_with(b"\"") && text::is_media_type(content_type),
            Self::Binary(_) => !text::is_json(content_type) && text::is_media_type(content_type),
        }
    }

    /// Writes it as the members of a CloudEvent.
    pub(super) fn write(&self, writer: &mut ObjectWriter) {
        match self {
            Self::Json(json) => writer.json("data", json),
            Self::Binary(bytes) => writer.plain("data_base64", BASE64_STANDARD.encode(bytes)),
        }
    }
}

/// The payload of an event that has no data.
pub(super) fn none() -> Payload {
    Payload::Json(Arc::from(&b"null"[..]))
}

/// A payload that is known to be JSON.
pub(super) fn trusted(json: &RawValue, limits: &Limits) -> Result<Payload, WireError> {
    let json = json.get().as_bytes();
    limits.check_payload(json.len())?;
    Ok(Payload::Json(json.into()))
}

/// A payload that has yet to be JSON.
pub(super) fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Payload, WireError> {
    limits.check_payload(bytes.len())?;
    let what = "payload";
    let text = str::from_utf8(bytes).map_err(|source| WireError::Utf8 { what, source })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let json = serde_json::from_str(text).map_err(|error| WireError::json(what, &error))?;
    trusted(json, limits)
}

/// A payload that is text, kept as a string of JSON; what is not in UTF-8 is kept as bytes.
pub(super) fn from_text(bytes: &[u8], limits: &Limits) -> Result<Payload, WireError> {
    limits.check_payload(bytes.len())?;
    let Ok(text) = str::from_utf8(bytes) else { return from_binary(bytes, limits) };
    let json = serde_json::to_vec(text).expect("text has a JSON form");
    limits.check_payload(json.len())?;
    Ok(Payload::Json(json.into()))
}

/// A payload that is neither JSON nor text.
pub(super) fn from_binary(bytes: &[u8], limits: &Limits) -> Result<Payload, WireError> {
    limits.check_payload(bytes.len())?;
    Ok(Payload::Binary(bytes.into()))
}

/// JSON in base64 (RFC 4648 §4).
pub(super) fn json_in_base64(text: &RawValue, limits: &Limits) -> Result<Payload, WireError> {
    from_bytes(&decoded(text, limits)?, limits)
}

/// Something else in base64.
pub(super) fn binary_in_base64(text: &RawValue, limits: &Limits) -> Result<Payload, WireError> {
    from_binary(&decoded(text, limits)?, limits)
}

fn decoded(text: &RawValue, limits: &Limits) -> Result<Vec<u8>, WireError> {
    // Four characters are three bytes, without the quotes and what fills up the end.
    limits.check_payload((text.get().len().saturating_sub(5)) / 4 * 3)?;
    let bytes = match AttributeValue::from_json(text) {
        Some(AttributeValue::String(text)) => BASE64_STANDARD.decode(&*text).ok(),
        _ => None,
    };
    bytes.ok_or_else(|| WireError::invalid("data_base64", "text in base64 (RFC 4648 §4)"))
}
