//! Spans of what is published, handled and settled.
//!
//! A span is made when somebody listens: a `tracing` subscriber whose filter lets it through. Else it costs a branch.
//! Names and attributes are those of OpenTelemetry's semantic conventions for messaging, version 1.44. A subscriber of
//! `tracing` that knows nothing of them still sees which event is handled by whom.

mod attributes;
#[cfg(feature = "opentelemetry")]
mod otel;
mod span;

pub(crate) use self::span::{MessageSpan, SETTLE, is_listening};
