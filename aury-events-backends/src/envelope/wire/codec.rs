//! Envelopes to bytes, and back.

use std::sync::Arc;

use super::{
    Attribute, AttributeValue, Hint, Limits, WireError, aury, binary, cloudevents, data::Data,
    members::Members, received::Received, text,
};
use crate::{
    config::{BackendConfig, Format},
    envelope::{Envelope, Payload},
};

/// The room that the attributes of an event take, without its name and what [`Limits`] count as metadata.
const ROOM: usize = 448;

/// Writes envelopes in the format of a bus and reads them in every format, within its limits.
///
/// Which formats there are is told in the documentation of the [module](super).
///
/// ```
/// use aury_events_backends::{
///     BackendConfig, Envelope, EventName, Metadata, Payload,
///     envelope::wire::{Codec, Hint, WireError},
/// };
///
/// let codec = Codec::new(&BackendConfig::default());
/// let name = EventName::from_static("order.created");
///
/// let metadata = Metadata::new(name.clone(), 1, "/shop", None).with_header("tenant", "a");
/// let event = Envelope::new(metadata, Payload::Json(br#"{"order_id":"o-1"}"#[..].into()));
/// let bytes = codec.encode(&event)?;
///
/// let event = codec.decode(&bytes, &Hint::event(&name))?;
/// assert_eq!(event.metadata().header("tenant"), Some("a"));
///
/// // What says nothing of itself has the name under which it came.
/// let event = codec.decode(br#"{"order_id":"o-2"}"#, &Hint::event(&name))?;
/// assert_eq!(event.metadata().name(), &name);
/// # Ok::<(), WireError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Codec {
    format: Format,
    limits: Limits,
}

impl Codec {
    /// The codec of a bus.
    pub fn new(config: &BackendConfig) -> Self {
        Self { format: config.format, limits: Limits::new(config) }
    }

    /// Sets other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The content type of what [`encode`](Self::encode) writes.
    pub fn content_type(&self) -> &'static str {
        match self.format {
            Format::CloudEvents => "application/cloudevents+json",
            Format::Aury => "application/json",
        }
    }

    /// Writes an event.
    ///
    /// # Errors
    ///
    /// When the payload has no JSON form, when something is larger than the limits allow, or when the metadata holds
    /// what CloudEvents cannot: an id that is empty or has control characters, a source that is no URI reference, a
    /// time before the year 0 or after 9999. Metadata that was received can always be written.
    pub fn encode(&self, envelope: &Envelope) -> Result<Vec<u8>, WireError> {
        let metadata = envelope.metadata();
        let size = self.limits.check_metadata(metadata)?;
        let data = match envelope.payload() {
            Payload::Binary(bytes) => Data::Binary(bytes),
            payload => Data::Json(payload.json().map_err(WireError::Payload)?),
        };
        self.limits.check_payload(data.len())?;
        let room = ROOM + metadata.name().as_str().len() + size + data.len();
        match self.format {
            Format::CloudEvents => cloudevents::encode(metadata, &data, room),
            Format::Aury => aury::encode(metadata, &data, room),
        }
    }

    /// Reads a message that is an event all by itself: a CloudEvent in structured mode, an envelope of aury-boot, or
    /// else a JSON object that is the event's data.
    ///
    /// # Errors
    ///
    /// When it is none of them, or something is larger than the limits allow. The same bytes fail in the same way each
    /// time.
    pub fn decode(&self, message: &[u8], hint: &Hint<'_>) -> Result<Envelope, WireError> {
        self.limits.check_message(message.len())?;
        let json = str::from_utf8(message)
            .map_err(|source| WireError::Utf8 { what: "message", source })?;
        // Some editors and shells put a byte order mark before it (RFC 8259 §8.1 lets a reader ignore it).
        let json = json.strip_prefix('\u{feff}').unwrap_or(json);
        let members = Members::read(json, &self.limits)?;
        if members.is_cloudevent() || hint.content_type.is_some_and(text::is_cloudevent) {
            cloudevents::decode(members.into_list()?, hint, &self.limits)
        } else if members.is_aury() {
            aury::decode(members.into_list()?, hint, &self.limits)
        } else {
            self.decode_data(json.trim_ascii().as_bytes(), hint)
        }
    }

    /// Reads the data of an event that says nothing else.
    fn decode_data(&self, json: &[u8], hint: &Hint<'_>) -> Result<Envelope, WireError> {
        self.limits.check_payload(json.len())?;
        let payload = Payload::Json(Arc::from(json));
        Received::new(&self.limits, Attribute::as_str).into_envelope(payload, hint, &self.limits)
    }

    /// Reads a message with properties, as AMQP's are: a CloudEvent in binary mode, if attributes of one are among
    /// them, or else what [`decode`](Self::decode) reads.
    ///
    /// Properties that are no attributes of a CloudEvent are left alone. The content type belongs into the hint.
    ///
    /// # Errors
    ///
    /// See [`decode`](Self::decode).
    pub fn decode_message<'a>(
        &self,
        properties: impl IntoIterator<Item = (&'a str, AttributeValue<'a>)>,
        body: &[u8],
        hint: &Hint<'a>,
    ) -> Result<Envelope, WireError> {
        self.limits.check_message(body.len())?;
        // AMQP binding §3: by the content type, it is structured mode, whatever else the properties say.
        if !hint.content_type.is_some_and(text::is_cloudevent)
            && let Some(envelope) = binary::decode(properties, body, hint, &self.limits)?
        {
            return Ok(envelope);
        }
        self.decode(body, hint)
    }
}
