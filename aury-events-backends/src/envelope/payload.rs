//! The event itself: as a value inside the process, as JSON outside of it.

use std::{any::Any, borrow::Cow, fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::json::{self, excerpt};

/// An event's data.
#[derive(Clone)]
#[non_exhaustive]
pub enum Payload {
    /// The value itself, shared by all subscribers of the process; never serialised unless somebody asks for JSON.
    Typed(Arc<dyn TypedPayload>),
    /// JSON text (RFC 8259), as it came from a broker.
    Json(Arc<[u8]>),
    /// Bytes that are no JSON, as they came from somebody else than this framework: their content type is in the header
    /// `datacontenttype`.
    Binary(Arc<[u8]>),
}

/// A value that is an event's payload inside the process. Implemented for all that can be serialised and deserialised.
pub trait TypedPayload: Any + Send + Sync {
    /// The value as JSON text.
    ///
    /// # Errors
    ///
    /// When it has none, or none that a subscriber could read as the value: a number that is not finite, or more than
    /// 127 levels of nesting.
    fn to_json(&self) -> Result<Vec<u8>, EncodeError>;

    /// Proves that the value survives the way through a broker, by writing and reading it; gives the size of its text in
    /// bytes.
    ///
    /// # Errors
    ///
    /// When what comes back is something else.
    fn prove(&self) -> Result<usize, EncodeError>;
}

impl<T: Serialize + DeserializeOwned + Any + Send + Sync> TypedPayload for T {
    fn to_json(&self) -> Result<Vec<u8>, EncodeError> {
        json::write(self)
    }

    fn prove(&self) -> Result<usize, EncodeError> {
        json::prove(self)
    }
}

impl Payload {
    /// The payload as a `T`: shared when it is one already, else decoded.
    #[inline]
    pub fn decode<T: DeserializeOwned + Any + Send + Sync>(&self) -> Result<Arc<T>, DecodeError> {
        match self {
            Self::Typed(value) => Arc::<dyn Any + Send + Sync>::downcast(Arc::clone(value) as _)
                .or_else(|_| self.decode_json().map(Arc::new)),
            Self::Json(_) | Self::Binary(_) => self.decode_json().map(Arc::new),
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
            Self::Binary(_) => Err(EncodeError::new("it is binary data, which is no JSON")),
        }
    }

    /// The same as a string.
    pub fn json_text(&self) -> Result<String, EncodeError> {
        Ok(String::from_utf8_lossy(&self.json()?).into_owned())
    }

    /// The bytes, if they are no JSON.
    pub fn binary(&self) -> Option<&[u8]> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            Self::Typed(_) | Self::Json(_) => None,
        }
    }

    /// How much memory it takes at most, in bytes, as far as that is known: of a value in this process, it is not.
    pub fn size(&self) -> usize {
        match self {
            Self::Typed(_) => 0,
            Self::Json(bytes) | Self::Binary(bytes) => bytes.len(),
        }
    }
}

fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(json)
        .map_err(|error| DecodeError::json(error, std::any::type_name::<T>()))
}

impl fmt::Debug for Payload {
    /// Says which kind it is, and of JSON the size: contents do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Typed(_) => f.write_str("Typed"),
            Self::Json(json) => write!(f, "Json({} bytes)", json.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// An event has no JSON text that a subscriber could read as the same event.
#[derive(Debug)]
pub struct EncodeError {
    reason: String,
}

impl EncodeError {
    #[cold]
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event cannot be written as JSON: {}", self.reason)
    }
}

impl std::error::Error for EncodeError {}

/// A payload is not the event that a subscriber expects.
#[derive(Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// The JSON text does not describe the expected type.
    Json {
        /// What serde found wrong, and where: a short and escaped piece of it, since it may quote the text.
        reason: String,
        /// The type that the subscriber takes.
        expected: &'static str,
    },
    /// The event is a value of another type in this process and could not be turned into JSON.
    Encode(EncodeError),
}

impl DecodeError {
    #[cold]
    fn json(error: serde_json::Error, expected: &'static str) -> Self {
        Self::Json { reason: excerpt(&error), expected }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { expected, reason } => {
                write!(f, "the payload is not a `{expected}`: {reason}")
            }
            Self::Encode(_) => f.write_str("the payload is of another type and has no JSON form"),
        }
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json { .. } => None,
            Self::Encode(source) => Some(source),
        }
    }
}
