//! The attributes of an event, and their values.

use std::{borrow::Cow, str::FromStr, time::SystemTime};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::value::RawValue;

use super::{text, time};

/// Declares the attributes together with their names.
macro_rules! attributes {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)+) => {
        /// An attribute that means something to the framework: of the standard, or of an extension to it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Attribute {
            $($(#[$meta])* $variant,)+
        }

        impl Attribute {
            pub(super) const COUNT: usize = [$(Self::$variant),+].len();

            /// The attribute of that name.
            pub(super) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Its name in a CloudEvent.
            pub(super) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

attributes! {
    SpecVersion = "specversion",
    Id = "id",
    Source = "source",
    Type = "type",
    Time = "time",
    DataContentType = "datacontenttype",
    /// Distributed tracing extension.
    TraceParent = "traceparent",
    /// Distributed tracing extension.
    TraceState = "tracestate",
    /// Correlation extension.
    CorrelationId = "correlationid",
    /// Correlation extension.
    CausationId = "causationid",
    /// Partitioning extension.
    PartitionKey = "partitionkey",
    DataVersion = "dataversion",
    Hops = "hops",
    /// What no attribute can hold: see [`super::cloudevents`].
    Rest = "aurymetadata",
}

/// The value of an attribute as a message brings it (CloudEvents 1.0 §Type System): in the type of the transport, or
/// as the text that CloudEvents defines for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttributeValue<'a> {
    /// The attribute is not set.
    Null,
    /// `Boolean`.
    Boolean(bool),
    /// `Integer`.
    Integer(i64),
    /// `String`, `URI`, `URI-reference`, and all others as text.
    String(Cow<'a, str>),
    /// `Binary`.
    Binary(&'a [u8]),
    /// `Timestamp`.
    Timestamp(SystemTime),
}

impl<'a> AttributeValue<'a> {
    /// The text that stands for it; `None` for a time that has none.
    pub(super) fn into_text(self) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Null => Cow::Borrowed(""),
            Self::Boolean(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Self::Integer(value) => value.to_string().into(),
            Self::String(text) => text,
            Self::Binary(bytes) => BASE64_STANDARD.encode(bytes).into(),
            Self::Timestamp(time) => time::write(time)?.into(),
        })
    }

    /// How much there is to read, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Timestamp(_) => 0,
        }
    }

    /// The whole number that it is.
    pub(super) fn number<T: FromStr + TryFrom<i64>>(&self) -> Option<T> {
        match self {
            Self::Integer(number) => T::try_from(*number).ok(),
            Self::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A simple value of JSON.
    pub(super) fn from_json(value: &'a RawValue) -> Option<Self> {
        let json = value.get();
        Some(match json.as_bytes()[0] {
            b'n' => Self::Null,
            b't' | b'f' => Self::Boolean(json == "true"),
            b'"' => match &json[1..json.len() - 1] {
                plain if text::is_plain(plain) => Self::String(plain.into()),
                _ => Self::String(serde_json::from_str(json).ok()?),
            },
            b'{' | b'[' => return None,
            // A number that is none of CloudEvents is kept as it is written.
            _ => json.parse().map_or(Self::String(json.into()), Self::Integer),
        })
    }
}
