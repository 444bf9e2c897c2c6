//! What has been read of an event's attributes, from whichever form, and the metadata it makes.

use std::{borrow::Cow, time::SystemTime};

use serde_json::value::RawValue;

use super::{Attribute, AttributeValue, Hint, Limits, WireError, text, time};
use crate::envelope::{Envelope, EventId, EventName, Metadata, Payload, SharedStr};

/// Who published an event that does not say so.
const UNKNOWN_SOURCE: SharedStr = SharedStr::from_static("/unknown");

/// What a time should be.
const TIME: &str = "a time such as `2018-04-05T17:31:00Z` (RFC 3339)";

/// What has been read of an event's attributes.
pub(super) struct Received<'a> {
    set: [Option<AttributeValue<'a>>; Attribute::COUNT],
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    limits: Limits,
    /// How many bytes of the message have been read.
    read: usize,
    /// What the form that is read calls an attribute.
    names: fn(Attribute) -> &'static str,
}

impl<'a> Received<'a> {
    pub(super) fn new(limits: &Limits, names: fn(Attribute) -> &'static str) -> Self {
        let set = [const { None }; Attribute::COUNT];
        Self { set, headers: Vec::new(), limits: *limits, read: 0, names }
    }

    /// Counts what is about to be read, so that it is refused before it is.
    pub(super) fn count(&mut self, name: &str, value: usize) -> Result<(), WireError> {
        self.read = self.read.saturating_add(name.len()).saturating_add(value);
        self.limits.check_raw_metadata(self.read)
    }

    /// Sets an attribute, once.
    pub(super) fn set(
        &mut self,
        attribute: Attribute,
        value: AttributeValue<'a>,
    ) -> Result<(), WireError> {
        let place = &mut self.set[attribute as usize];
        match value {
            AttributeValue::Null => Ok(()),
            _ if place.is_some() => Err(WireError::duplicate((self.names)(attribute))),
            _ => {
                *place = Some(value);
                Ok(())
            }
        }
    }

    /// Sets an attribute to a value of JSON.
    pub(super) fn set_json(
        &mut self,
        attribute: Attribute,
        json: &'a RawValue,
    ) -> Result<(), WireError> {
        self.count(attribute.as_str(), json.get().len())?;
        match AttributeValue::from_json(json) {
            Some(value) => self.set(attribute, value),
            None => Err(self.invalid(attribute, "a string, a number or a boolean")),
        }
    }

    /// Adds a header, once. Headers are what attributes are called that mean nothing to the framework.
    pub(super) fn header(
        &mut self,
        name: Cow<'a, str>,
        value: AttributeValue<'a>,
    ) -> Result<(), WireError> {
        if matches!(value, AttributeValue::Null) {
            return Ok(());
        }
        let limit = self.limits.max_headers;
        if self.headers.len() >= limit {
            return Err(WireError::TooManyHeaders { limit });
        }
        if self.headers.iter().any(|(known, _)| *known == name) {
            return Err(WireError::duplicate(&name));
        }
        let Some(value) = value.into_text() else {
            return Err(WireError::invalid(&name, TIME));
        };
        self.headers.push((name, value));
        Ok(())
    }

    /// Adds a header that is a value of JSON: of what is not simple, the text.
    pub(super) fn header_json(
        &mut self,
        name: Cow<'a, str>,
        json: &'a RawValue,
    ) -> Result<(), WireError> {
        self.count(&name, json.get().len())?;
        let value = match AttributeValue::from_json(json) {
            Some(value) => value,
            None if json.get().starts_with('"') => {
                return Err(WireError::invalid(&name, "a string of Unicode characters"));
            }
            None => AttributeValue::String(json.get().into()),
        };
        self.header(name, value)
    }

    pub(super) fn has(&self, attribute: Attribute) -> bool {
        self.get(attribute).is_some()
    }

    fn get(&self, attribute: Attribute) -> Option<&AttributeValue<'a>> {
        self.set[attribute as usize].as_ref()
    }

    /// Takes an attribute as text.
    pub(super) fn take(&mut self, attribute: Attribute) -> Result<Option<Cow<'a, str>>, WireError> {
        let Some(value) = self.set[attribute as usize].take() else { return Ok(None) };
        value.into_text().map(Some).ok_or_else(|| self.invalid(attribute, TIME))
    }

    /// Takes an attribute that has to be something if it is there.
    fn take_filled(&mut self, attribute: Attribute) -> Result<Option<Cow<'a, str>>, WireError> {
        match self.take(attribute)? {
            Some(text) if text.is_empty() => {
                Err(self.invalid(attribute, "a string that is not empty"))
            }
            text => Ok(text),
        }
    }

    /// Takes an attribute that is not there when it is empty.
    pub(super) fn take_unless_empty(
        &mut self,
        attribute: Attribute,
    ) -> Result<Option<Cow<'a, str>>, WireError> {
        Ok(self.take(attribute)?.filter(|text| !text.is_empty()))
    }

    fn invalid(&self, attribute: Attribute, expected: &'static str) -> WireError {
        WireError::invalid((self.names)(attribute), expected)
    }

    /// The event with these attributes. What they do not say, the hint does.
    pub(super) fn into_envelope(
        mut self,
        payload: Payload,
        hint: &Hint<'_>,
        limits: &Limits,
    ) -> Result<Envelope, WireError> {
        let metadata = self.metadata(hint)?;
        limits.check_metadata(&metadata)?;
        Ok(Envelope::new(metadata, payload))
    }

    fn metadata(&mut self, hint: &Hint<'_>) -> Result<Metadata, WireError> {
        let name = self.take_name(hint)?;
        let time = self.take_time()?.unwrap_or_else(|| hint.event_time());
        let id = match self.take_filled(Attribute::Id)? {
            Some(text) => self.id(Attribute::Id, &text)?,
            None => hint.event_id(time),
        };
        let source = match self.take_filled(Attribute::Source)? {
            Some(text) => (&*text::to_uri_reference(text)).into(),
            None => UNKNOWN_SOURCE,
        };
        let mut metadata = Metadata::received(name, id, source).with_time(time);

        if let Some(text) = self.take_unless_empty(Attribute::CorrelationId)? {
            metadata = metadata.with_correlation_id(self.id(Attribute::CorrelationId, &text)?);
        }
        if let Some(text) = self.take_unless_empty(Attribute::CausationId)? {
            metadata = metadata.with_causation_id(self.id(Attribute::CausationId, &text)?);
        }
        // W3C Trace Context §4.3: what cannot be read restarts the trace, and its state goes with it.
        let tracestate = self.take(Attribute::TraceState)?;
        let traceparent = self.take(Attribute::TraceParent)?;
        if let Some(trace) = traceparent.and_then(|text| text.parse().ok()) {
            metadata = metadata.with_trace(trace);
            if let Some(text) = tracestate.filter(|text| text::is_attribute_value(text)) {
                metadata = metadata.with_tracestate(&*text);
            }
        }
        if let Some(version) = self.get(Attribute::DataVersion) {
            let version = version.number().ok_or_else(|| {
                self.invalid(Attribute::DataVersion, "a whole number from 0 to 4294967295")
            })?;
            metadata = metadata.with_version(version);
        }
        // Hops that cannot be read are not zero: they are what ends a loop.
        if let Some(hops) = self.get(Attribute::Hops) {
            let hops = hops
                .number()
                .ok_or_else(|| self.invalid(Attribute::Hops, "a whole number from 0 to 65535"))?;
            metadata = metadata.with_hops(hops);
        }
        if let Some(key) = self.take(Attribute::PartitionKey)? {
            metadata = metadata.with_key(&*key);
        }
        for (name, value) in &self.headers {
            metadata = metadata.with_header(&**name, &**value);
        }
        Ok(metadata)
    }

    fn take_name(&mut self, hint: &Hint<'_>) -> Result<EventName, WireError> {
        match self.take_filled(Attribute::Type)? {
            Some(text) => hint.event_name_of(&text).map_err(|reason| {
                let attribute = Some((self.names)(Attribute::Type));
                WireError::Name { attribute, reason }
            }),
            None => hint.event_name(),
        }
    }

    fn take_time(&mut self) -> Result<Option<SystemTime>, WireError> {
        let time = match self.get(Attribute::Time) {
            Some(&AttributeValue::Timestamp(time)) => Some(time).filter(time::is_writable),
            _ => match self.take_unless_empty(Attribute::Time)? {
                Some(text) => time::read(&text),
                None => return Ok(None),
            },
        };
        time.map(Some).ok_or_else(|| self.invalid(Attribute::Time, TIME))
    }

    fn id(&self, attribute: Attribute, text: &str) -> Result<EventId, WireError> {
        let id = EventId::from(text);
        if id.as_uuid().is_some() || text::is_attribute_value(text) {
            Ok(id)
        } else {
            Err(self.invalid(attribute, "a string without control characters"))
        }
    }
}
