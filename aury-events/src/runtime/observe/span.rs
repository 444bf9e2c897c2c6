//! The spans themselves.

use std::{fmt::Display, future::Future};

use aury_events_backends::{Destination, EventName, Metadata, ServiceSubscriber};
use tracing::{Instrument, Level, Span, field, instrument::Instrumented};

use super::attributes::*;
#[cfg(feature = "opentelemetry")]
use super::otel;
use crate::runtime::{BusCore, SubscriptionInfo};

/// The level of the spans of settlements: there is one for each event, and it is rarely of interest.
pub(crate) const SETTLE: Level = Level::DEBUG;

/// Whether anybody may listen to spans of this level: where not, that is all a span costs.
#[inline(always)]
pub(crate) fn is_listening() -> bool {
    #[cfg(feature = "opentelemetry")]
    if otel::has_active_span() {
        return true;
    }
    tracing::level_enabled!(Level::INFO)
}

/// The span of an operation on one event, or on a batch of one type.
#[derive(Debug, Clone)]
pub(crate) struct MessageSpan(Span);

/// Makes a span with the attributes that all operations have; `$name` is also the operation's.
macro_rules! message_span {
    ($level:expr, $name:literal, $type:literal, $kind:literal, $($field:tt)*) => {
        tracing::span!(
            target: "aury_events",
            $level,
            $name,
            $($field)*
            { SPAN_NAME } = field::Empty,
            { SPAN_KIND } = $kind,
            { STATUS_CODE } = field::Empty,
            { OPERATION_NAME } = $name,
            { OPERATION_TYPE } = $type,
            { MESSAGING_SYSTEM } = field::Empty,
            { DESTINATION_NAME } = field::Empty,
            { SERVER_ADDRESS } = field::Empty,
            { SERVER_PORT } = field::Empty,
            { MESSAGE_ID } = field::Empty,
            { CONVERSATION_ID } = field::Empty,
            { BATCH_MESSAGE_COUNT } = field::Empty,
            { ERROR_TYPE } = field::Empty,
        )
    };
}

impl MessageSpan {
    /// `publish`: an event is handed to the backend. `None` when nobody listens.
    ///
    /// Where OpenTelemetry listens, the event belongs to the trace of this span, which in turn continues the event's own
    /// trace if the publisher has named it.
    #[cold]
    pub(crate) fn publish(
        bus: &BusCore,
        event: &mut Metadata,
        is_trace_given: bool,
    ) -> Option<Self> {
        let span = message_span!(
            Level::INFO, "publish", "send", "producer",
            event = %event.name(),
            event_id = %event.id(),
            trace_id = field::Empty,
            { ROUTING_KEY } = field::Empty,
        );
        let span = Self::unless_disabled(span);
        if let Some(span) = &span {
            span.on(bus, "publish", event.name(), None);
            span.of_message(event);
        }
        // The last step, since OpenTelemetry starts the span by it.
        #[cfg(feature = "opentelemetry")]
        otel::publish(span.as_ref().map(|it| &it.0), event, is_trace_given);
        #[cfg(not(feature = "opentelemetry"))]
        let _ = is_trace_given;
        span.as_ref()?.record("trace_id", event.trace().trace_id());
        span
    }

    /// `publish`: several events of one type are handed to the backend at once. `None` when nobody listens.
    #[cold]
    pub(crate) fn publish_many(bus: &BusCore, event: &EventName) -> Option<Self> {
        let span = message_span!(Level::INFO, "publish", "send", "producer", event = %event, { ROUTING_KEY } = field::Empty,);
        let span = Self::unless_disabled(span)?;
        span.on(bus, "publish", event, None);
        Some(span)
    }

    /// Puts one event of a batch into the trace of the span that publishes them, where OpenTelemetry listens.
    pub(crate) fn put_in_trace(&self, event: &mut Metadata) {
        #[cfg(feature = "opentelemetry")]
        otel::publish(Some(&self.0), event, false);
        #[cfg(not(feature = "opentelemetry"))]
        let _ = event;
    }

    /// `process`: a subscriber handles an event.
    #[cold]
    pub(crate) fn process(
        subscription: &SubscriptionInfo,
        event: &Metadata,
        attempt: u32,
    ) -> Option<Self> {
        let span = message_span!(
            Level::INFO, "process", "process", "consumer",
            event = %event.name(),
            event_id = %event.id(),
            subscriber = subscription.id(),
            attempt,
            trace_id = %event.trace().trace_id(),
            { CONSUMER_GROUP_NAME } = field::Empty,
            { SUBSCRIPTION_NAME } = field::Empty,
            { ROUTING_KEY } = field::Empty,
        );
        let span = Self::unless_disabled(span)?;
        span.follow(event, subscription.core().continue_traces);
        span.read_by(subscription, "process", event.name());
        span.of_message(event);
        Some(span)
    }

    /// `process`: a subscriber handles a batch of events, `leading` the one in whose context it does.
    #[cold]
    pub(crate) fn process_batch<'a>(
        subscription: &SubscriptionInfo,
        leading: &Metadata,
        attempt: u32,
        events: impl ExactSizeIterator<Item = &'a Metadata>,
    ) -> Option<Self> {
        let span = message_span!(
            Level::INFO, "process", "process", "consumer",
            event = %leading.name(),
            subscriber = subscription.id(),
            attempt,
            trace_id = %leading.trace().trace_id(),
            { CONSUMER_GROUP_NAME } = field::Empty,
            { SUBSCRIPTION_NAME } = field::Empty,
            { ROUTING_KEY } = field::Empty,
        );
        let span = Self::unless_disabled(span)?;
        let count = events.len();
        events.for_each(|event| span.follow(event, false));
        span.count(count);
        span.read_by(subscription, "process", leading.name());
        Some(span)
    }

    /// `settle`: the broker is told what became of an event.
    #[cold]
    pub(crate) fn settle(subscription: &SubscriptionInfo, event: &Metadata) -> Option<Self> {
        let span = message_span!(
            SETTLE, "settle", "settle", "client",
            event = %event.name(),
            event_id = %event.id(),
            subscriber = subscription.id(),
            trace_id = %event.trace().trace_id(),
            { CONSUMER_GROUP_NAME } = field::Empty,
            { SUBSCRIPTION_NAME } = field::Empty,
        );
        let span = Self::unless_disabled(span)?;
        span.read_by(subscription, "settle", event.name());
        span.of_message(event);
        Some(span)
    }

    /// Follows the span that published the event, where OpenTelemetry listens.
    fn follow(&self, event: &Metadata, as_child: bool) {
        #[cfg(feature = "opentelemetry")]
        otel::follow(&self.0, event, as_child);
        #[cfg(not(feature = "opentelemetry"))]
        let _ = (event, as_child);
    }

    fn unless_disabled(span: Span) -> Option<Self> {
        (!span.is_disabled()).then_some(Self(span))
    }

    fn record(&self, name: &str, value: impl Display) {
        self.0.record(name, field::display(value));
    }

    /// Notes where the event goes or comes from.
    fn on(
        &self,
        bus: &BusCore,
        operation: &str,
        event: &EventName,
        reader: Option<ServiceSubscriber<'_>>,
    ) {
        let destination = bus.backend().destination(event, reader);
        let destination =
            destination.unwrap_or_else(|| Destination::new(bus.backend_name(), event.as_str()));
        self.record(SPAN_NAME, format_args!("{operation} {event}"));
        self.record(MESSAGING_SYSTEM, &destination.system);
        self.record(DESTINATION_NAME, &destination.name);
        if let Some(routing_key) = &destination.routing_key {
            self.record(ROUTING_KEY, routing_key);
        }
        if let Some(server) = &destination.server {
            self.record(SERVER_ADDRESS, &server.address);
            if let Some(port) = server.port {
                self.0.record(SERVER_PORT, port);
            }
        }
    }

    fn read_by(&self, subscription: &SubscriptionInfo, operation: &str, event: &EventName) {
        let service = &*subscription.core().service;
        let subscriber = subscription.id();
        self.record(CONSUMER_GROUP_NAME, service);
        self.record(SUBSCRIPTION_NAME, subscriber);
        let reader = ServiceSubscriber { service, subscriber };
        self.on(subscription.bus(), operation, event, Some(reader));
    }

    fn of_message(&self, event: &Metadata) {
        self.record(MESSAGE_ID, event.id());
        self.record(CONVERSATION_ID, event.correlation_id());
    }

    /// Notes of how many events it is.
    pub(crate) fn count(&self, events: usize) {
        self.0.record(BATCH_MESSAGE_COUNT, events);
    }

    /// Notes that the operation failed, by the kind of its error.
    #[cold]
    pub(crate) fn fail(&self, kind: &str) {
        self.0.record(STATUS_CODE, "ERROR");
        self.0.record(ERROR_TYPE, kind);
    }

    /// Runs `f` in it.
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        self.0.in_scope(f)
    }

    /// Runs a future in it.
    pub(crate) fn around<F: Future>(&self, future: F) -> Instrumented<F> {
        future.instrument(self.0.clone())
    }
}
