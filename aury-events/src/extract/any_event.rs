//! Events of any type, for those who subscribe to a pattern.

use std::sync::Arc;

use aury_events_backends::{
    Envelope, EventName, Metadata,
    envelope::{DecodeError, EncodeError},
};
use serde::de::DeserializeOwned;

use crate::declared::Event;

/// An event of whichever type, as a subscriber with a `pattern` receives it.
///
/// ```
/// use aury_events::prelude::*;
///
/// #[subscribe(pattern = "order.*")]
/// async fn audit(event: &AnyEvent) -> Result<(), aury_events::DecodeError> {
///     let order: serde_json::Value = event.decode()?;
///     println!("{} {}: {order}", event.metadata().id(), event.name());
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct AnyEvent {
    envelope: Envelope,
}

impl AnyEvent {
    pub(crate) fn new(envelope: Envelope) -> Self {
        Self { envelope }
    }

    /// The name of the event.
    pub fn name(&self) -> &EventName {
        self.envelope.metadata().name()
    }

    /// What is known of the event besides its data.
    pub fn metadata(&self) -> &Metadata {
        self.envelope.metadata()
    }

    /// The event's data as JSON text. Text of another content type, such as `text/plain`, is a JSON string.
    ///
    /// # Errors
    ///
    /// When the data is [binary](Self::binary), or when the event is a value in this process that has no JSON text.
    pub fn json(&self) -> Result<String, EncodeError> {
        self.envelope.payload().json_text()
    }

    /// The event's data as bytes, where it is neither JSON nor text: what a CloudEvent brings as `data_base64`, with a
    /// content type other than JSON.
    pub fn binary(&self) -> Option<&[u8]> {
        self.envelope.payload().binary()
    }

    /// The event's data, decoded from JSON into any type: `serde_json::Value`, or one with the fields of interest.
    ///
    /// # Errors
    ///
    /// When the data has another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.envelope.payload().decode_json()
    }

    /// The event as an `E`, if that is its name; not copied when it is a value in this process already.
    ///
    /// # Errors
    ///
    /// When it bears the name of `E` and its data has another shape.
    pub fn event<E: Event>(&self) -> Result<Option<Arc<E>>, DecodeError> {
        (self.name().as_str() == E::NAME).then(|| E::decode(self.envelope.payload())).transpose()
    }
}
