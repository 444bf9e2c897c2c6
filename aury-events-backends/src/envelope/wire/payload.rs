//! Payloads as messages bring them.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::value::RawValue;

use super::{AttributeValue, Limits, WireError};
use crate::envelope::Payload;

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
    let what = "payload";
    let text = str::from_utf8(bytes).map_err(|source| WireError::Utf8 { what, source })?;
    let json = serde_json::from_str(text).map_err(|source| WireError::Json { what, source })?;
    trusted(json, limits)
}

/// A payload in base64 (RFC 4648 §4).
pub(super) fn from_base64(text: &RawValue, limits: &Limits) -> Result<Payload, WireError> {
    let bytes = match AttributeValue::from_json(text) {
        Some(AttributeValue::String(text)) => BASE64_STANDARD.decode(&*text).ok(),
        _ => None,
    };
    let bytes =
        bytes.ok_or_else(|| WireError::invalid("data_base64", "text in base64 (RFC 4648 §4)"))?;
    from_bytes(&bytes, limits)
}
