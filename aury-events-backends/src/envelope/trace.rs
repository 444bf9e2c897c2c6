//! W3C Trace Context (level 2): the ids that tie an event to the request it belongs to.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::random;

/// The id of a trace: 16 bytes, not all zero; printed as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span: 8 bytes, not all zero; printed as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// The trace an event was published in, and the span that published it: the header `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    flags: u8,
}

/// The trace flag `sampled`.
const SAMPLED: u8 = 1;

/// The bit of an id that is not random, so that the forbidden id of zeros alone cannot occur.
const NOT_ZERO: u64 = 1;

impl TraceContext {
    /// The start of a new, sampled trace.
    pub fn root() -> Self {
        let [a, b, span] = random::words();
        Self::root_of((u128::from(a) << 64 | u128::from(b | NOT_ZERO)).into(), span)
    }

    /// The start of the trace of that id, in a span whose id is made of these random bits.
    #[inline]
    pub(super) fn root_of(trace_id: TraceId, span: u64) -> Self {
        Self { trace_id, span_id: SpanId(span | NOT_ZERO), flags: SAMPLED }
    }

    /// A new span of the same trace.
    pub fn child(&self) -> Self {
        let [span] = random::words();
        self.child_of(span)
    }

    /// A span of the same trace whose id is made of these random bits.
    #[inline]
    pub(super) fn child_of(&self, span: u64) -> Self {
        Self { span_id: SpanId(span | NOT_ZERO), ..*self }
    }

    /// The trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span in which the event was published.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Whether the caller may have recorded the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl From<u128> for TraceId {
    fn from(id: u128) -> Self {
        Self(id.to_be_bytes())
    }
}

/// A trace that an event starts has the event's id: the last 62 bits of a UUID of version 7 are random, as W3C Trace
/// Context level 2 wants the last 56 to be.
impl From<Uuid> for TraceId {
    fn from(id: Uuid) -> Self {
        Self(id.into_bytes())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The header `traceparent`, version `00`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

#[cfg(feature = "wire")]
impl TraceContext {
    /// The header `traceparent`, as it is displayed: without the formatter, at a tenth of its cost.
    pub(super) fn to_header(self) -> [u8; 55] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut header = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let mut write = |start: usize, bytes: &[u8]| {
            for (digits, byte) in header[start..].chunks_exact_mut(2).zip(bytes) {
                digits[0] = DIGITS[usize::from(byte >> 4)];
                digits[1] = DIGITS[usize::from(byte & 0xf)];
            }
        };
        write(3, &self.trace_id.0);
        write(36, &self.span_id.0.to_be_bytes());
        write(53, &[self.flags]);
        header
    }
}

macro_rules! debug_as_display {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_display!(TraceId, SpanId, TraceContext);

/// As its text of 32 hexadecimal digits.
impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A `traceparent` header that W3C Trace Context §3.2 does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTraceparent;

impl fmt::Display for InvalidTraceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a W3C traceparent: expected `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`, \
             in lower case and with neither id all zero",
        )
    }
}

impl std::error::Error for InvalidTraceparent {}

impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    /// Reads the header; of a version later than `00`, the part that version `00` defines (§4.3).
    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let text = text.as_bytes();
        let field = |start: usize, digits: usize| hex(text.get(start..start + digits)?);
        let separator = |at: usize| (text.get(at) == Some(&b'-')).then_some(());
        let parse = || {
            let version = field(0, 2)?;
            separator(2)?;
            let trace_id = field(3, 32)?;
            separator(35)?;
            let span_id = field(36, 16)?;
            separator(52)?;
            let flags = field(53, 2)?;
            if text.len() > 55 {
                (version > 0).then_some(())?;
                separator(55)?;
            }
            let is_valid = version != 0xff && trace_id != 0 && span_id != 0;
            is_valid.then_some(Self {
                trace_id: trace_id.into(),
                span_id: SpanId(span_id as u64),
                flags: flags as u8,
            })
        };
        parse().ok_or(InvalidTraceparent)
    }
}

/// A number of lower-case hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'9' => Some(value << 4 | u128::from(digit - b'0')),
        b'a'..=b'f' => Some(value << 4 | u128::from(digit - b'a' + 10)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_prints_as_it_was_read() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context: TraceContext = header.parse().unwrap();
        assert_eq!(context.to_string(), header);
        assert!(context.is_sampled());
        let root = TraceContext::root();
        assert_eq!(root.to_string().parse(), Ok(root));
    }

    #[test]
    fn a_child_stays_in_the_trace_with_a_span_of_its_own() {
        let root = TraceContext::root();
        let child = root.child();
        assert_eq!(child.trace_id(), root.trace_id());
        assert_ne!(child.span_id(), root.span_id());
        assert_ne!(TraceContext::root().trace_id(), root.trace_id());
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        for header in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(header.parse::<TraceContext>(), Err(InvalidTraceparent), "{header}");
        }
        for later in ["01", "cc"] {
            for rest in ["", "-", "-what-comes"] {
                let header =
                    format!("{later}-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01{rest}");
                assert!(header.parse::<TraceContext>().is_ok(), "{header}");
            }
        }
    }
}
