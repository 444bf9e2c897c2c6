//! The event itself: as a value inside the process, as JSON outside of it.

use std::{any::Any, borrow::Cow, fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

/// An event's data.
#[derive(Clone)]
#[non_exhaustive]
pub enum Payload {
    /// The value itself, shared by all subscribers of the process; never serialised unless somebody asks for JSON.
    Typed(Arc<dyn TypedPayload>),
    /// JSON text (RFC 8259), as it came from a broker.
    Json(Arc<[u8]>),
}

/// A value that is an event's payload inside the process. Implemented for all that can be serialised.
pub trait TypedPayload: Any + Send + Sync {
    /// The value as JSON text.
    fn to_json(&self) -> Result<Vec<u8>, EncodeError>;
}

impl<T: Serialize + Any + Send + Sync> TypedPayload for T {
    fn to_json(&self) -> Result<Vec<u8>, EncodeError> {
        serde_json::to_vec(self).map_err(EncodeError)
    }
}

impl Payload {
    /// The payload as a `T`: shared when it is one already, else decoded.
    #[inline]
    pub fn decode<T: DeserializeOwned + Any + Send + Sync>(&self) -> Result<Arc<T>, DecodeError> {
        match self {
            Self::Typed(value) => Arc::<dyn Any + Send + Sync>::downcast(Arc::clone(value) as _)
                .or_else(|_| self.decode_json().map(Arc::new)),
            Self::Json(_) => self.decode_json().map(Arc::new),
        }
    }

    /// The payload decoded from its JSON form, into any type that fits it.
    pub fn decode_json<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        from_json(&self.json().map_err(DecodeError::Encode)?)
    }

    /// The payload as JSON text.
    pub fn json(&self) -> Result<Cow<'_, [u8]>, EncodeError> {
        match self {
            Self::Typed(value) => value.to_json().map(Cow::Owned),
            Self::Json(json) => Ok(Cow::Borrowed(json)),
        }
    }
}

fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(json)
        .map_err(|source| DecodeError::Json { source, expected: std::any::type_name::<T>() })
}

impl fmt::Debug for Payload {
    /// Says which kind it is, and of JSON the size: contents do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Typed(_) => f.write_str("Typed"),
            Self::Json(json) => write!(f, "Json({} bytes)", json.len()),
        }
    }
}

/// The event's `Serialize` implementation failed.
#[derive(Debug)]
pub struct EncodeError(serde_json::Error);

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event could not be serialised to JSON")
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A payload is not the event that a subscriber expects.
#[derive(Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// The JSON text does not describe the expected type.
    Json {
        /// What serde found wrong, and where.
        source: serde_json::Error,
        /// The type that the subscriber takes.
        expected: &'static str,
    },
    /// The event is a value of another type in this process and could not be turned into JSON.
    Encode(EncodeError),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { expected, .. } => write!(f, "the payload is not a `{expected}`"),
            Self::Encode(_) => f.write_str("the payload is of another type and has no JSON form"),
        }
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json { source, .. } => Some(source),
            Self::Encode(source) => Some(source),
        }
    }
}
