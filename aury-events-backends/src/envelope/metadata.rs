//! What the framework knows of an event.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{EventId, EventName, SharedStr, TraceContext};

/// What the framework knows of an event besides its data: the attributes of CloudEvents 1.0 and the extensions that
/// tie events together.
///
/// Immutable and cheap to clone: whatever can be long is shared.
#[derive(Clone, Debug)]
pub struct Metadata {
    id: EventId,
    name: EventName,
    version: u32,
    hops: u16,
    source: SharedStr,
    time: SystemTime,
    trace: TraceContext,
    correlation_id: EventId,
    causation_id: Option<EventId>,
    /// What few events have, kept apart so that the others stay small.
    rare: Option<Arc<Rare>>,
}

#[derive(Clone, Debug, Default)]
struct Rare {
    key: Option<SharedStr>,
    headers: Vec<(SharedStr, SharedStr)>,
}

impl Metadata {
    /// The metadata of an event that nothing caused: the start of a trace and of a chain of events.
    pub fn root(name: EventName, version: u32, source: SharedStr) -> Self {
        let (id, time) = stamp();
        Self {
            correlation_id: id.clone(),
            id,
            name,
            version,
            hops: 0,
            source,
            time,
            trace: TraceContext::root(),
            causation_id: None,
            rare: None,
        }
    }

    /// The metadata of an event that is published while `self` is handled: the same trace and correlation id, caused
    /// by `self`, one hop further.
    pub fn caused(&self, name: EventName, version: u32, source: SharedStr) -> Self {
        let (id, time) = stamp();
        Self {
            id,
            name,
            version,
            hops: self.hops.saturating_add(1),
            source,
            time,
            trace: self.trace.child(),
            correlation_id: self.correlation_id.clone(),
            causation_id: Some(self.id.clone()),
            rare: None,
        }
    }

    /// Sets the key by which order is kept (CloudEvents extension `partitionkey`).
    #[must_use]
    pub fn with_key(mut self, key: impl Into<SharedStr>) -> Self {
        self.rare_mut().key = Some(key.into());
        self
    }

    /// Sets a header; one of the same name is replaced.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<SharedStr>, value: impl Into<SharedStr>) -> Self {
        let (name, value) = (name.into(), value.into());
        let headers = &mut self.rare_mut().headers;
        match headers.iter_mut().find(|(known, _)| *known == name) {
            Some(header) => header.1 = value,
            None => headers.push((name, value)),
        }
        self
    }

    fn rare_mut(&mut self) -> &mut Rare {
        Arc::make_mut(self.rare.get_or_insert_default())
    }

    /// The id of the event.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// The name of the event (CloudEvents `type`).
    pub fn name(&self) -> &EventName {
        &self.name
    }

    /// The version of the event's data (CloudEvents extension `dataversion`).
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Who published it (CloudEvents `source`).
    pub fn source(&self) -> &str {
        &self.source
    }

    /// When it was published.
    pub fn time(&self) -> SystemTime {
        self.time
    }

    /// The trace that it was published in.
    pub fn trace(&self) -> TraceContext {
        self.trace
    }

    /// The id of the event that started the chain: the event's own when it started one.
    pub fn correlation_id(&self) -> &EventId {
        &self.correlation_id
    }

    /// The id of the event that was being handled when this one was published.
    pub fn causation_id(&self) -> Option<&EventId> {
        self.causation_id.as_ref()
    }

    /// How many events precede this one in its chain.
    pub fn hops(&self) -> u16 {
        self.hops
    }

    /// The key set by the publisher of this one event, or by the event type when it left the process.
    pub fn key(&self) -> Option<&str> {
        self.rare.as_ref()?.key.as_deref()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// All headers, in the order in which they were set.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.rare.as_ref().map_or(&[][..], |rare| &rare.headers);
        headers.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// The id and the time of an event published now: one look at the clock serves both.
fn stamp() -> (EventId, SystemTime) {
    let now = SystemTime::now();
    // A clock before 1970 gives ids that do not sort; they are unique all the same.
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (EventId::new(since_epoch), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Metadata {
        Metadata::root(
            EventName::from_static("order.created"),
            1,
            SharedStr::from_static("/shop"),
        )
    }

    #[test]
    fn a_chain_keeps_trace_and_correlation_and_counts_its_hops() {
        let first = root();
        let second = first.caused(
            EventName::from_static("b"),
            1,
            SharedStr::from_static("/shop"),
        );
        let third = second.caused(
            EventName::from_static("c"),
            1,
            SharedStr::from_static("/shop"),
        );
        assert_eq!(first.correlation_id(), first.id());
        assert_eq!(third.correlation_id(), first.id());
        assert_eq!(third.causation_id(), Some(second.id()));
        assert_eq!(third.trace().trace_id(), first.trace().trace_id());
        assert_ne!(third.trace().span_id(), second.trace().span_id());
        assert_eq!((first.hops(), second.hops(), third.hops()), (0, 1, 2));
    }

    #[test]
    fn a_header_set_twice_has_the_last_value_and_copies_are_independent() {
        let plain = root();
        let with = plain
            .clone()
            .with_header("tenant", "a")
            .with_header("tenant", "b");
        let other = with.clone().with_header("region", "eu").with_key("k");
        assert_eq!(with.header("tenant"), Some("b"));
        assert_eq!(with.headers().count(), 1);
        assert_eq!(other.headers().count(), 2);
        assert_eq!(
            (plain.header("tenant"), with.key(), other.key()),
            (None, None, Some("k"))
        );
    }
}
