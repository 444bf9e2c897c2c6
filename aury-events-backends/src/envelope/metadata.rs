//! What the framework knows of an event.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

use super::{EventId, EventName, SharedStr, TraceContext, id::uuid_v7, random};

/// What the framework knows of an event besides its data: the attributes of CloudEvents 1.0 and the extensions that
/// tie events together.
///
/// Immutable, and cheap to clone: whatever most events do not have is shared.
#[derive(Clone)]
pub struct Metadata {
    /// Nil when `rare` has it.
    id: Uuid,
    correlation_id: Uuid,
    /// Nil when nothing caused the event, or `rare` has it.
    causation_id: Uuid,
    name: EventName,
    source: &'static str,
    time: SystemTime,
    trace: TraceContext,
    version: u32,
    hops: u16,
    rare: Option<Arc<Rare>>,
}

/// What few events have.
#[derive(Clone, Debug, Default)]
struct Rare {
    id: Option<Arc<str>>,
    correlation_id: Option<Arc<str>>,
    causation_id: Option<Arc<str>>,
    /// Of an event from elsewhere: the `source` of `Metadata` is that of this process.
    source: Option<SharedStr>,
    tracestate: Option<SharedStr>,
    key: Option<SharedStr>,
    headers: Vec<(SharedStr, SharedStr)>,
}

/// What an event hands on to those that are published while it is handled.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Nil when `rare` has it.
    id: Uuid,
    correlation_id: Uuid,
    trace: TraceContext,
    hops: u16,
    rare: Option<Arc<Rare>>,
}

impl Cause {
    /// How many events precede one that this causes.
    #[inline]
    pub fn hops_on(&self) -> u16 {
        self.hops.saturating_add(1)
    }
}

impl Metadata {
    /// The metadata of an event that is published now.
    ///
    /// With a cause, it continues that one's chain: the same trace and correlation id, one hop further. Without, it is
    /// the start of a trace and of a chain.
    pub fn new(name: EventName, version: u32, source: &'static str, cause: Option<&Cause>) -> Self {
        let mut metadata = Self::blank();
        metadata.renew(name, version, source, cause);
        metadata
    }

    /// Makes it the metadata of another event, which is published now. In place, since copying it would cost as much
    /// as making it.
    #[inline]
    pub(super) fn renew(
        &mut self,
        name: EventName,
        version: u32,
        source: &'static str,
        cause: Option<&Cause>,
    ) {
        let time = SystemTime::now();
        let [a, b] = random::words();
        let id = uuid_v7(time, [a, b]);
        self.id = id;
        self.correlation_id = id;
        self.causation_id = Uuid::nil();
        self.name = name;
        self.source = source;
        self.time = time;
        // The id has left most of the bits of `a`.
        self.trace = TraceContext::root_of(id.into(), a);
        self.version = version;
        self.hops = 0;
        self.rare = None;
        if let Some(cause) = cause {
            self.trace = cause.trace.child_of(a);
            self.hops = cause.hops_on();
            self.set_cause(cause);
        }
    }

    /// The metadata of no event, to be renewed.
    pub(super) fn blank() -> Self {
        Self {
            id: Uuid::nil(),
            correlation_id: Uuid::nil(),
            causation_id: Uuid::nil(),
            name: EventName::from_static("none"),
            source: "",
            time: UNIX_EPOCH,
            trace: TraceContext::root_of(Uuid::nil().into(), 0),
            version: 0,
            hops: 0,
            rare: None,
        }
    }

    /// Lets go of what it shares with others.
    #[inline]
    pub(super) fn release(&mut self) {
        self.rare = None;
    }

    fn set_cause(&mut self, cause: &Cause) {
        self.correlation_id = cause.correlation_id;
        self.causation_id = cause.id;
        if let Some(of_cause) = &cause.rare {
            self.set_rare_cause(of_cause);
        }
    }

    #[cold]
    fn set_rare_cause(&mut self, cause: &Rare) {
        if cause.id.is_some() || cause.correlation_id.is_some() || cause.tracestate.is_some() {
            let rare = self.rare_mut();
            rare.correlation_id = cause.correlation_id.clone();
            rare.causation_id = cause.id.clone();
            rare.tracestate = cause.tracestate.clone();
        }
    }

    /// What this event hands on to those that it causes.
    pub fn as_cause(&self) -> Cause {
        Cause {
            id: self.id,
            correlation_id: self.correlation_id,
            trace: self.trace,
            hops: self.hops,
            rare: self.rare.clone(),
        }
    }

    /// The metadata of an event that comes from elsewhere.
    ///
    /// As long as nothing else is set, it is of version 1, was published just now, and starts a trace and a chain.
    pub fn received(name: EventName, id: EventId, source: impl Into<SharedStr>) -> Self {
        let mut metadata = Self::blank();
        let [span] = random::words();
        metadata.name = name;
        metadata.time = SystemTime::now();
        // As for an event published here: everybody who receives it starts the same trace.
        metadata.trace = match id.as_uuid() {
            Some(uuid) => TraceContext::root_of(uuid.into(), span),
            None => TraceContext::root(),
        };
        metadata.version = 1;
        metadata.rare_mut().source = Some(source.into());
        metadata.with_id(id)
    }

    /// Sets the id, of an event that comes from elsewhere. It starts a chain of its own, unless it has a correlation
    /// id.
    #[must_use]
    pub fn with_id(mut self, id: EventId) -> Self {
        self.id = self.keep(&id, |rare| &mut rare.id);
        self.with_correlation_id(id)
    }

    /// Sets the id of the event that started the chain (CloudEvents extension `correlationid`).
    #[must_use]
    pub fn with_correlation_id(mut self, id: EventId) -> Self {
        self.correlation_id = self.keep(&id, |rare| &mut rare.correlation_id);
        self
    }

    /// Sets the id of the event that caused this one (CloudEvents extension `causationid`).
    #[must_use]
    pub fn with_causation_id(mut self, id: EventId) -> Self {
        self.causation_id = self.keep(&id, |rare| &mut rare.causation_id);
        self
    }

    /// The place of an id: where the UUIDs are if it is one, which is returned, else apart, beside a nil UUID.
    fn keep(&mut self, id: &EventId, apart: impl Fn(&mut Rare) -> &mut Option<Arc<str>>) -> Uuid {
        let foreign = id.as_foreign().cloned();
        if foreign.is_some() || self.rare.is_some() {
            *apart(self.rare_mut()) = foreign;
        }
        id.as_uuid().unwrap_or_default()
    }

    /// Sets the version of the event's data (CloudEvents extension `dataversion`).
    #[must_use]
    pub fn with_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets when the event was published (CloudEvents `time`).
    #[must_use]
    pub fn with_time(mut self, time: SystemTime) -> Self {
        self.time = time;
        self
    }

    /// Sets the trace that the event was published in (CloudEvents extension `traceparent`).
    #[must_use]
    pub fn with_trace(mut self, trace: TraceContext) -> Self {
        self.trace = trace;
        self
    }

    /// Sets what tracing systems have noted about the trace (CloudEvents extension `tracestate`).
    #[must_use]
    pub fn with_tracestate(mut self, tracestate: impl Into<SharedStr>) -> Self {
        self.rare_mut().tracestate = Some(tracestate.into());
        self
    }

    /// Sets the trace with its state, in place of all that was known of another.
    #[must_use]
    pub fn in_trace(mut self, trace: TraceContext, tracestate: Option<SharedStr>) -> Self {
        self.trace = trace;
        if tracestate.is_some() || self.tracestate().is_some() {
            self.rare_mut().tracestate = tracestate;
        }
        self
    }

    /// Sets how many events precede this one in its chain.
    #[must_use]
    pub fn with_hops(mut self, hops: u16) -> Self {
        self.hops = hops;
        self
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
    #[inline]
    pub fn id(&self) -> EventId {
        self.either(self.id, |rare| &rare.id)
    }

    /// An id that is a UUID, or else kept apart.
    fn either(&self, uuid: Uuid, rare: impl Fn(&Rare) -> &Option<Arc<str>>) -> EventId {
        match self.rare.as_deref().and_then(|it| rare(it).clone()) {
            Some(foreign) => foreign.into(),
            None => uuid.into(),
        }
    }

    /// The name of the event (CloudEvents `type`).
    #[inline]
    pub fn name(&self) -> &EventName {
        &self.name
    }

    /// The version of the event's data (CloudEvents extension `dataversion`).
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Who published it (CloudEvents `source`).
    pub fn source(&self) -> &str {
        let foreign = self.rare.as_ref().and_then(|rare| rare.source.as_deref());
        foreign.unwrap_or(self.source)
    }

    /// When it was published.
    pub fn time(&self) -> SystemTime {
        self.time
    }

    /// The trace that it was published in.
    pub fn trace(&self) -> TraceContext {
        self.trace
    }

    /// What tracing systems have noted about that trace, as the header `tracestate` (W3C Trace Context §3.3).
    pub fn tracestate(&self) -> Option<&str> {
        self.rare.as_ref()?.tracestate.as_deref()
    }

    /// The id of the event that started the chain: the event's own when it started one.
    pub fn correlation_id(&self) -> EventId {
        self.either(self.correlation_id, |rare| &rare.correlation_id)
    }

    /// The id of the event that was being handled when this one was published.
    pub fn causation_id(&self) -> Option<EventId> {
        let id = self.either(self.causation_id, |rare| &rare.causation_id);
        (id != Uuid::nil().into()).then_some(id)
    }

    /// How many events precede this one in its chain.
    #[inline]
    pub fn hops(&self) -> u16 {
        self.hops
    }

    /// The key set by the publisher of this one event, or by the event type when it left the process.
    pub fn key(&self) -> Option<&str> {
        self.rare.as_ref()?.key.as_deref()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All headers, in the order in which they were set.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.rare.as_ref().map_or(&[][..], |rare| &rare.headers);
        headers.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("id", &self.id())
            .field("name", &self.name)
            .field("version", &self.version)
            .field("source", &self.source())
            .field("time", &self.time)
            .field("trace", &self.trace)
            .field("tracestate", &self.tracestate())
            .field("correlation_id", &self.correlation_id())
            .field("causation_id", &self.causation_id())
            .field("hops", &self.hops)
            .field("key", &self.key())
            .field("headers", &self.headers().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn metadata(name: &'static str, cause: Option<&Metadata>) -> Metadata {
        let cause = cause.map(Metadata::as_cause);
        Metadata::new(EventName::from_static(name), 1, "/shop", cause.as_ref())
    }

    #[test]
    fn a_chain_keeps_trace_and_correlation_and_counts_its_hops() {
        let ours = metadata("a", None).with_tracestate("vendor=1");
        for first in [ours.clone(), ours.with_id("order/17".into())] {
            let second = metadata("b", Some(&first));
            let third = metadata("c", Some(&second));
            assert_eq!(first.correlation_id(), first.id());
            assert_eq!(first.causation_id(), None);
            assert_eq!(second.causation_id(), Some(first.id()));
            assert_eq!(third.correlation_id(), first.id());
            assert_eq!(third.causation_id(), Some(second.id()));
            assert_eq!(third.trace().trace_id(), first.trace().trace_id());
            assert_eq!(third.tracestate(), Some("vendor=1"));
            assert_ne!(third.trace().span_id(), second.trace().span_id());
            assert_eq!((first.hops(), second.hops(), third.hops()), (0, 1, 2));
        }
    }

    #[test]
    fn an_event_from_elsewhere_says_of_itself_what_it_likes() {
        let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
        for (id, others) in [("order/17", uuid), (uuid, "order/17"), ("a", "b")] {
            let name = EventName::from_static("order.created");
            let bare = Metadata::received(name.clone(), id.into(), "/elsewhere");
            assert_eq!((bare.name(), bare.id(), bare.source()), (&name, id.into(), "/elsewhere"));
            assert_eq!((bare.version(), bare.hops(), bare.key()), (1, 0, None));
            assert_eq!((bare.correlation_id(), bare.causation_id()), (bare.id(), None));

            let (time, trace) = (UNIX_EPOCH + Duration::from_nanos(1), TraceContext::root());
            let full = bare
                .with_correlation_id(others.into())
                .with_causation_id(others.into())
                .with_version(7)
                .with_time(time)
                .with_trace(trace)
                .with_tracestate("vendor=1")
                .with_hops(3);
            assert_eq!(full.id(), id.into());
            assert_eq!(full.correlation_id(), others.into());
            assert_eq!(full.causation_id(), Some(others.into()));
            assert_eq!((full.version(), full.time(), full.hops()), (7, time, 3));
            assert_eq!((full.trace(), full.tracestate()), (trace, Some("vendor=1")));
            assert_eq!(full.source(), "/elsewhere");
            assert_eq!(full.with_id(others.into()).id(), others.into());
        }
    }

    #[test]
    fn whoever_receives_an_event_without_a_trace_starts_the_same_one() {
        let id = EventId::from("01890a5d-ac96-774b-bcce-b302099a8057");
        let receive =
            || Metadata::received(EventName::from_static("a"), id.clone(), "/elsewhere").trace();
        assert_eq!(receive().trace_id(), receive().trace_id());
        assert_ne!(receive().span_id(), receive().span_id());
    }

    #[test]
    fn a_header_set_twice_has_the_last_value_and_copies_are_independent() {
        let plain = metadata("a", None);
        let with = plain.clone().with_header("tenant", "a").with_header("tenant", "b");
        let other = with.clone().with_header("region", "eu").with_key("k");
        assert_eq!(with.header("tenant"), Some("b"));
        assert_eq!(with.headers().count(), 1);
        assert_eq!(other.headers().count(), 2);
        assert_eq!((plain.header("tenant"), with.key(), other.key()), (None, None, Some("k")));
    }
}
