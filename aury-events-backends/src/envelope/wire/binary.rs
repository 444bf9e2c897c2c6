//! CloudEvents 1.0 in binary mode over AMQP: the attributes are properties of the message, its body is the payload.
//!
//! RabbitMQ speaks AMQP 0-9-1, for which there is no binding. What is found there follows the one for AMQP 1.0, with
//! `cloudEvents:` or, later, `cloudEvents_` before the names of attributes (§3.1.3.1); or the one for HTTP, with
//! `ce-`.

use super::{
    Attribute, AttributeValue, Hint, Limits, WireError, cloudevents::settle, data,
    received::Received, text,
};
use crate::envelope::Envelope;

const PREFIXES: [&str; 3] = ["cloudEvents:", "cloudEvents_", "ce-"];

/// Reads an event, if there are attributes of one among the properties. All other properties belong to the transport.
pub(super) fn decode<'a>(
    properties: impl IntoIterator<Item = (&'a str, AttributeValue<'a>)>,
    body: &[u8],
    hint: &Hint<'a>,
    limits: &Limits,
) -> Result<Option<Envelope>, WireError> {
    let mut attributes = Received::new(limits, Attribute::as_str);
    let mut is_event = false;
    for (property, value) in properties {
        let Some(name) = PREFIXES.iter().find_map(|prefix| property.strip_prefix(prefix)) else {
            continue;
        };
        is_event = true;
        attributes.count(name, value.size())?;
        match Attribute::named(name) {
            // §3.1.1: the message's own content type takes its place.
            Some(Attribute::DataContentType) if hint.content_type.is_some() => {}
            Some(attribute) => attributes.set(attribute, value)?,
            None => attributes.header(name.into(), value)?,
        }
    }
    if !is_event {
        return Ok(None);
    }
    if let Some(content_type) = hint.content_type {
        attributes.set(Attribute::DataContentType, AttributeValue::String(content_type.into()))?;
    }
    let content_type = settle(&mut attributes)?;
    let payload = match content_type.as_deref() {
        _ if body.is_empty() => data::none(),
        // Many publishers leave it out; what is no JSON all the same is found when the body is read.
        None => data::from_bytes(body, limits)?,
        Some(content_type) if text::is_json(content_type) => data::from_bytes(body, limits)?,
        Some(content_type) if text::is_text(content_type) => data::from_text(body, limits)?,
        Some(_) => data::from_binary(body, limits)?,
    };
    attributes.into_envelope(payload, hint, limits).map(Some)
}
