//! What can go wrong in a backend.

use std::{error::Error, fmt, iter::successors, sync::Arc, time::Duration};

#[cfg(feature = "wire")]
use crate::envelope::wire::WireError;
use crate::envelope::{EncodeError, EventName};

/// Why a backend could not do what it was asked for.
pub struct BackendError(Box<Kind>);

#[derive(Debug)]
enum Kind {
    Closed,
    Encode { event: EventName, error: EncodeError },
    NotSubscribed { subscriber: Arc<str> },
    NotTaken { why: NotTaken, what: String, said: String },
    NotConnected { operation: String, source: Option<Box<dyn Error + Send + Sync>> },
    TimedOut { operation: String, after: Duration, cause: Option<Box<dyn Error + Send + Sync>> },
    Other { operation: String, source: Box<dyn Error + Send + Sync> },
}

/// Why a broker that was reached did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotTaken {
    Refused,
    TooLarge,
    Unroutable,
}

impl BackendError {
    /// The bus is shutting down or has been shut down.
    #[cold]
    pub fn closed() -> Self {
        Self(Box::new(Kind::Closed))
    }

    /// An event has no JSON text that reads back as the event.
    #[cold]
    pub fn encode(event: &EventName, error: EncodeError) -> Self {
        Self(Box::new(Kind::Encode { event: event.clone(), error }))
    }

    /// An event cannot be written as a message.
    #[cfg(feature = "wire")]
    #[cold]
    pub fn encode_message(event: &EventName, error: WireError) -> Self {
        let what = format!("could not encode {event}");
        match error {
            WireError::Payload(error) => Self::encode(event, error),
            WireError::TooLarge { .. } => Self::too_large(what, error.to_string()),
            _ => Self::other(format!("encode {event}"), error),
        }
    }

    /// There is no subscription of that subscriber to replay a dead letter to.
    #[cold]
    pub fn not_subscribed(subscriber: Arc<str>) -> Self {
        Self(Box::new(Kind::NotSubscribed { subscriber }))
    }

    /// There was no answer in time; `operation` is what was attempted, as in `publish order.created`.
    #[cold]
    pub fn timed_out(operation: impl Into<String>, after: Duration) -> Self {
        Self(Box::new(Kind::TimedOut { operation: operation.into(), after, cause: None }))
    }

    /// It was not done in time, and what stood in its way is known: `cause`, which may hold no password.
    #[cold]
    pub fn timed_out_after(
        operation: impl Into<String>,
        after: Duration,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let (operation, cause) = (operation.into(), Some(cause.into()));
        Self(Box::new(Kind::TimedOut { operation, after, cause }))
    }

    /// The client library or the broker reported an error; `operation` is what was attempted, as in `declare the
    /// exchange aury.events`. Neither may hold a password.
    #[cold]
    pub fn other(
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self(Box::new(Kind::Other { operation: operation.into(), source: source.into() }))
    }

    /// The broker was reached and refused; `what` names the broker and what it refused, as in `RabbitMQ refused
    /// order.created`, and `said` is why, in the broker's own words.
    #[cold]
    pub fn refused(what: impl Into<String>, said: impl Into<String>) -> Self {
        Self::not_taken(NotTaken::Refused, what, said)
    }

    /// A message is larger than the broker takes; otherwise as [`refused`](Self::refused).
    #[cold]
    pub fn too_large(what: impl Into<String>, said: impl Into<String>) -> Self {
        Self::not_taken(NotTaken::TooLarge, what, said)
    }

    /// The broker has nowhere to put a message, and dropped it; otherwise as [`refused`](Self::refused).
    #[cold]
    pub fn unroutable(what: impl Into<String>, said: impl Into<String>) -> Self {
        Self::not_taken(NotTaken::Unroutable, what, said)
    }

    fn not_taken(why: NotTaken, what: impl Into<String>, said: impl Into<String>) -> Self {
        Self(Box::new(Kind::NotTaken { why, what: what.into(), said: said.into() }))
    }

    /// There was no connection to the broker in time, so that nothing was sent; `source` is why, where that is known.
    #[cold]
    pub fn not_connected(
        operation: impl Into<String>,
        source: Option<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self(Box::new(Kind::NotConnected { operation: operation.into(), source }))
    }

    /// The same error as that of a larger operation, as in `publish order.created`, which this was a step of.
    #[must_use]
    pub fn of_operation(self, operation: impl Into<String>) -> Self {
        match *self.0 {
            Kind::Closed => self,
            Kind::NotConnected { source, .. } => Self::not_connected(operation, source),
            _ => Self::other(operation, self),
        }
    }

    /// Whether the bus is shutting down or has been shut down.
    pub fn is_closed(&self) -> bool {
        matches!(*self.0, Kind::Closed)
    }

    /// Whether there is no subscription to replay a dead letter to. The letter is kept.
    pub fn is_not_subscribed(&self) -> bool {
        matches!(*self.0, Kind::NotSubscribed { .. })
    }

    /// Whether the operation took too long; it may have been carried out all the same.
    pub fn is_timeout(&self) -> bool {
        matches!(*self.0, Kind::TimedOut { .. })
    }

    /// Whether the broker was reached and refused, as for want of a right or of room. Trying again helps when somebody
    /// has changed that.
    pub fn is_refused(&self) -> bool {
        self.is_not_taken(NotTaken::Refused)
    }

    /// Whether the broker does not take messages as large as this one.
    pub fn is_too_large(&self) -> bool {
        self.is_not_taken(NotTaken::TooLarge)
    }

    /// Whether the broker had nowhere to put the message: nobody has subscribed to it, and that is an error here.
    pub fn is_unroutable(&self) -> bool {
        self.is_not_taken(NotTaken::Unroutable)
    }

    fn is_not_taken(&self, of: NotTaken) -> bool {
        matches!(*self.0, Kind::NotTaken { why, .. } if why == of)
    }

    /// Whether there was no connection to the broker in time. Nothing was sent.
    pub fn is_not_connected(&self) -> bool {
        matches!(*self.0, Kind::NotConnected { .. })
    }

    /// The kind of the error in one word, for labels: `closed`, `encode`, `not_subscribed`, `refused`, `too_large`,
    /// `unroutable`, `not_connected`, `timed_out` or `other`.
    pub fn kind(&self) -> &'static str {
        match &*self.0 {
            Kind::Closed => "closed",
            Kind::Encode { .. } => "encode",
            Kind::NotSubscribed { .. } => "not_subscribed",
            Kind::NotTaken { why: NotTaken::Refused, .. } => "refused",
            Kind::NotTaken { why: NotTaken::TooLarge, .. } => "too_large",
            Kind::NotTaken { why: NotTaken::Unroutable, .. } => "unroutable",
            Kind::NotConnected { .. } => "not_connected",
            Kind::TimedOut { .. } => "timed_out",
            Kind::Other { .. } => "other",
        }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Closed => f.write_str("the bus has been shut down"),
            Kind::Encode { event, error } => write!(f, "could not encode {event}: {error}"),
            Kind::NotSubscribed { subscriber } => write!(
                f,
                "there is no subscription of `{subscriber}` to replay to: the dead letter is kept; start the \
                 subscriber first"
            ),
            Kind::TimedOut { operation, after, cause: None } => {
                write!(f, "{operation}: no answer within {after:?}")
            }
            Kind::NotTaken { what, said, .. } => write!(f, "{what}: {said}"),
            Kind::NotConnected { operation, .. } => {
                write!(f, "could not {operation}: there is no connection")
            }
            Kind::TimedOut { operation, after, cause: Some(_) } => {
                write!(f, "could not {operation} within {after:?}")
            }
            Kind::Other { operation, .. } => write!(f, "could not {operation}"),
        }
    }
}

impl fmt::Debug for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.0 {
            Kind::Other { source, .. } => Some(&**source),
            Kind::NotConnected { source: Some(source), .. }
            | Kind::TimedOut { cause: Some(source), .. } => Some(&**source),
            Kind::Closed
            | Kind::Encode { .. }
            | Kind::NotSubscribed { .. }
            | Kind::TimedOut { .. }
            | Kind::NotTaken { .. }
            | Kind::NotConnected { .. } => None,
        }
    }
}

/// What caused an error, the nearest cause first.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(error.source(), |&cause| cause.source())
}

/// A text on one line: control characters and line separators are escaped, so that a text from outside cannot forge a
/// line of a log.
#[derive(Debug)]
pub struct OneLine<T>(pub T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Write::write_fmt(&mut Escaping(f), format_args!("{}", self.0))
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let ends_line = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}');
        for part in text.split_inclusive(ends_line) {
            match part.chars().next_back().filter(|&last| ends_line(last)) {
                Some(last) => {
                    self.0.write_str(&part[..part.len() - last.len_utf8()])?;
                    fmt::Display::fmt(&last.escape_debug(), self.0)?;
                }
                None => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// An error on one line, with the chain of its causes. Line breaks in it are escaped, as by [`OneLine`].
#[derive(Debug)]
pub struct WithCauses<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&OneLine(self.0), f)?;
        causes(self.0).try_for_each(|cause| write!(f, ": {}", OneLine(cause)))
    }
}
