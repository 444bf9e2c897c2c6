//! Feature `opentelemetry`: between the trace that an event carries and the spans of OpenTelemetry.

use aury_events_backends::{Metadata, envelope::TraceContext};
use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Whether the current task runs in a span of OpenTelemetry.
pub(super) fn has_active_span() -> bool {
    Context::map_current(|context| context.has_active_span())
}

/// Puts an event into the trace of the span that publishes it. The span continues the event's own trace before, if that
/// was given by the publisher.
pub(super) fn publish(span: Option<&Span>, event: &mut Metadata, is_trace_given: bool) {
    if is_trace_given {
        let Some(span) = span else { return };
        follow(span, event, true);
    }
    if let Some((trace, state)) = trace_of(span) {
        *event = event.clone().in_trace(trace, state.map(Into::into));
    }
}

/// The trace that an event published in that span belongs to, with its state: that of the span, or of the active span of
/// OpenTelemetry, where no layer has made one of it.
pub(super) fn trace_of(span: Option<&Span>) -> Option<(TraceContext, Option<String>)> {
    let of_span = span.map(|span| of_context(&span.context()));
    of_span.flatten().or_else(|| Context::map_current(of_context))
}

fn of_context(context: &Context) -> Option<(TraceContext, Option<String>)> {
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        return None;
    }
    let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags().to_u8());
    let trace = format!("00-{trace}-{id}-{flags:02x}").parse().ok()?;
    Some((trace, Some(span.trace_state().header()).filter(|state| !state.is_empty())))
}

/// The span that published an event, which may have been in another process.
fn remote(event: &Metadata) -> Option<SpanContext> {
    let trace = event.trace();
    let (trace_id, span_id) = (trace.trace_id().to_string(), trace.span_id().to_string());
    let trace_id = u128::from_str_radix(&trace_id, 16).ok()?;
    let span_id = u64::from_str_radix(&span_id, 16).ok()?;
    let flags = opentelemetry::TraceFlags::new(u8::from(trace.is_sampled()));
    // A state that OpenTelemetry cannot read is not worth a trace.
    let state: TraceState = event.tracestate().and_then(|it| it.parse().ok()).unwrap_or_default();
    Some(SpanContext::new(trace_id.into(), span_id.into(), flags, true, state))
}

/// Links a span to the one that published the event, or makes it that one's child.
pub(super) fn follow(span: &Span, event: &Metadata, as_child: bool) {
    let Some(publisher) = remote(event) else { return };
    if as_child {
        let parent = Context::new().with_remote_span_context(publisher);
        // It fails where no layer of OpenTelemetry listens, and then nobody needs it.
        let _ = span.set_parent(parent);
    } else {
        span.add_link(publisher);
    }
}
