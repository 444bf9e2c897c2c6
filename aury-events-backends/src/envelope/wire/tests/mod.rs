//! The wire format as others see it: what is accepted, what is refused, and that nothing is lost in between.

mod accepted;
mod any;
mod limits;
mod refused;
mod round_trip;
mod strict;

use std::{collections::BTreeMap, time::SystemTime};

use super::{AttributeValue, Codec, Hint, WireError};
use crate::{
    config::{BackendConfig, Format},
    envelope::{Envelope, EventId, TraceContext},
};

/// All that there is to know of an event.
#[derive(Debug, Clone, PartialEq)]
struct Facts {
    id: EventId,
    name: String,
    source: String,
    time: SystemTime,
    version: u32,
    trace: TraceContext,
    tracestate: Option<String>,
    correlation_id: EventId,
    causation_id: Option<EventId>,
    hops: u16,
    key: Option<String>,
    /// Without their order, which JSON objects do not have.
    headers: BTreeMap<String, String>,
    payload: String,
    binary: Option<Vec<u8>>,
}

fn facts(envelope: &Envelope) -> Facts {
    let metadata = envelope.metadata();
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Facts {
        id: metadata.id(),
        name: metadata.name().to_string(),
        source: metadata.source().to_owned(),
        time: metadata.time(),
        version: metadata.version(),
        trace: metadata.trace(),
        tracestate: metadata.tracestate().map(str::to_owned),
        correlation_id: metadata.correlation_id(),
        causation_id: metadata.causation_id(),
        hops: metadata.hops(),
        key: metadata.key().map(str::to_owned),
        headers: metadata.headers().map(owned).collect(),
        payload: match envelope.payload().json() {
            Ok(json) => String::from_utf8(json.into_owned()).unwrap(),
            Err(_) => String::new(),
        },
        binary: envelope.payload().binary().map(<[u8]>::to_vec),
    }
}

fn codec(format: Format) -> Codec {
    Codec::new(&BackendConfig { format, ..BackendConfig::default() })
}

/// Reads a message that came to `hinted.name`.
fn decode(message: impl AsRef<[u8]>) -> Result<Envelope, WireError> {
    codec(Format::CloudEvents).decode(message.as_ref(), &Hint::named("hinted.name"))
}

fn decode_binary(
    properties: &[(&str, &str)],
    content_type: &str,
    body: &str,
) -> Result<Envelope, WireError> {
    let properties =
        properties.iter().map(|&(name, text)| (name, AttributeValue::String(text.into())));
    let hint = Hint::named("hinted.name").content_type(content_type);
    codec(Format::CloudEvents).decode_message(properties, body.as_bytes(), &hint)
}

/// An error with the chain of its causes.
fn told(error: &WireError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
