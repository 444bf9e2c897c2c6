//! What a handler decides about the event that it could not handle.

use std::{error::Error, fmt, time::Duration};

use super::BoxError;

/// An error with which a handler says what is to become of the event, in place of what the subscriber's `retry` says.
///
/// It is found wherever it stands in the chain of causes of the handler's error, also inside an `anyhow` or `eyre` one.
///
/// ```
/// use aury_events::{Failure, prelude::*};
/// # use serde::{Deserialize, Serialize};
/// # use std::time::Duration;
/// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated { is_test: bool }
/// # #[derive(Debug)] enum BankError { Busy, Refused }
/// # impl std::fmt::Display for BankError {
/// #     fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) }
/// # }
/// # impl std::error::Error for BankError {}
/// # async fn charge(_: &OrderCreated) -> Result<(), BankError> { Ok(()) }
///
/// #[subscribe]
/// async fn take_payment(event: &OrderCreated) -> Result<(), Failure> {
///     charge(event).await.map_err(|error| match error {
///         BankError::Busy => Failure::retry_after(error, Duration::from_secs(30)),
///         BankError::Refused => Failure::dead_letter(error),
///     })
/// }
/// ```
pub struct Failure(Link);

/// The part of a failure that stays visible when an error type hides the outermost error of a chain.
struct Link {
    decision: Decision,
    source: BoxError,
}

/// What is to become of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    RetryAfter(Duration),
    DeadLetter,
    Discard,
}

impl Failure {
    /// The event is to be handled again after that time: one more attempt, whatever the subscriber's `retry` allows.
    pub fn retry_after(error: impl Into<BoxError>, after: Duration) -> Self {
        Self::new(Decision::RetryAfter(after), error)
    }

    /// The event becomes a dead letter now, whatever attempts are left.
    pub fn dead_letter(error: impl Into<BoxError>) -> Self {
        Self::new(Decision::DeadLetter, error)
    }

    /// The event is not worth keeping: it is logged and forgotten.
    pub fn discard(error: impl Into<BoxError>) -> Self {
        Self::new(Decision::Discard, error)
    }

    fn new(decision: Decision, error: impl Into<BoxError>) -> Self {
        Self(Link { decision, source: error.into() })
    }

    /// The decision in a chain of causes, the outermost if there are several.
    pub(crate) fn decision(error: &(dyn Error + 'static)) -> Option<Decision> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(Self(link)) = error.downcast_ref() {
                return Some(link.decision);
            }
            if let Some(link) = error.downcast_ref::<Link>() {
                return Some(link.decision);
            }
            next = error.source();
        }
        None
    }
}

/// As the error that it was made of.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.source, f)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failure").field(&self.0.decision).field(&self.0.source).finish()
    }
}

impl Error for Failure {
    /// The decision, and behind it the causes of the error that it was made of.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decision {
            Decision::RetryAfter(after) => {
                write!(f, "the handler asks for a retry after {after:?}")
            }
            Decision::DeadLetter => f.write_str("the handler gives the event up"),
            Decision::Discard => f.write_str("the handler discards the event"),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Link {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(BoxError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outer")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    /// Forwards all to another error, but is of another type, as the boxes of `anyhow` are.
    #[derive(Debug)]
    struct Opaque(Failure);

    impl fmt::Display for Opaque {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Display::fmt(&self.0, f)
        }
    }

    impl Error for Opaque {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.0.source()
        }
    }

    #[test]
    fn a_decision_is_found_anywhere_in_the_chain() {
        let after = Duration::from_secs(5);
        let bare = Failure::retry_after("busy", after);
        assert_eq!(Failure::decision(&bare), Some(Decision::RetryAfter(after)));
        let deep = Outer(Outer(Failure::dead_letter("refused").into()).into());
        assert_eq!(Failure::decision(&deep), Some(Decision::DeadLetter));
        let opaque = Outer(Opaque(Failure::discard("stale")).into());
        assert_eq!(Failure::decision(&opaque), Some(Decision::Discard));
        assert_eq!(Failure::decision(&Outer("plain".into())), None);
    }

    #[test]
    fn a_failure_reads_as_its_error_with_the_decision_behind() {
        let failure = Failure::retry_after(Outer("the cause".into()), Duration::from_secs(5));
        let mut chain = vec![failure.to_string()];
        let mut next = failure.source();
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        assert_eq!(chain, ["outer", "the handler asks for a retry after 5s", "the cause"]);
    }
}
