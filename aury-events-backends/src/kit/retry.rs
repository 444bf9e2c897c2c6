//! Repetition until a deadline.

use std::error::Error;

use tokio::time::sleep;

use super::{Backoff, Deadline};
use crate::error::BackendError;

/// Why an attempt failed, and so whether another one makes sense.
#[derive(Debug)]
pub enum AttemptError {
    /// The same attempt may succeed soon: the server is out of reach, is starting, or is full.
    Transient(Box<dyn Error + Send + Sync>),
    /// The server has said no, and says the same the next time.
    Refused(Box<dyn Error + Send + Sync>),
    /// The bus has been shut down.
    Closed,
}

impl AttemptError {
    /// One after which the same attempt may succeed.
    pub fn transient(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Transient(cause.into())
    }

    /// One that repetition does not help.
    pub fn refused(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Refused(cause.into())
    }

    /// Whether the same attempt may succeed soon.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }

    /// Why it failed.
    pub fn into_cause(self) -> Box<dyn Error + Send + Sync> {
        match self {
            Self::Transient(cause) | Self::Refused(cause) => cause,
            Self::Closed => BackendError::closed().into(),
        }
    }

    /// The error of an operation that is not attempted again; `operation` is what was attempted, as in `publish
    /// order.created`.
    pub fn into_error(self, operation: impl Into<String>) -> BackendError {
        match self {
            Self::Transient(cause) | Self::Refused(cause) => {
                match cause.downcast::<BackendError>() {
                    Ok(error) => error.of_operation(operation),
                    Err(cause) => BackendError::other(operation, cause),
                }
            }
            Self::Closed => BackendError::closed(),
        }
    }
}

impl From<BackendError> for AttemptError {
    /// Only a bus that has been shut down is final; a backend that knows more says so by [`AttemptError::Refused`].
    fn from(error: BackendError) -> Self {
        if error.is_closed() { Self::Closed } else { Self::transient(error) }
    }
}

/// Attempts something until it succeeds, is refused for good, or the time is up.
///
/// Attempts that fail at once do not spin: each is followed by a wait that [grows](Backoff). The deadline also ends an
/// attempt that is under way, which may then have been carried out all the same.
///
/// # Errors
///
/// What the last attempt was refused with. Past the deadline, an error for which `is_not_connected()` holds if that is
/// how the last attempt failed, else one for which `is_timeout()` holds, with the last attempt's error as its source.
/// `operation` is what was attempted, as in `publish order.created`.
pub async fn retry<T, F>(
    deadline: impl Into<Deadline>,
    operation: impl Fn() -> String,
    mut attempt: impl FnMut() -> F,
) -> Result<T, BackendError>
where
    F: Future<Output = Result<T, AttemptError>>,
{
    let deadline = deadline.into();
    let mut backoff = Backoff::new();
    let mut last = None;
    while !deadline.has_passed() {
        match deadline.bound(attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(AttemptError::Transient(cause))) => last = Some(cause),
            Ok(Err(error)) => return Err(error.into_error(operation())),
            Err(_) => break,
        }
        sleep(backoff.next_wait().min(deadline.left())).await;
    }
    Err(late(operation(), &deadline, last))
}

/// The error of an operation whose time is up.
pub(super) fn late(
    operation: String,
    deadline: &Deadline,
    last: Option<Box<dyn Error + Send + Sync>>,
) -> BackendError {
    let Some(cause) = last else { return BackendError::timed_out(operation, deadline.limit()) };
    match cause.downcast::<BackendError>() {
        Ok(error) if error.is_not_connected() => error.of_operation(operation),
        Ok(error) => BackendError::timed_out_after(operation, deadline.limit(), error),
        Err(cause) => BackendError::timed_out_after(operation, deadline.limit(), cause),
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn operation() -> String {
        "ask".to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_fail_at_once_end_at_the_deadline_and_do_not_spin() {
        let (start, attempts) = (Instant::now(), Cell::new(0));
        let outcome = retry(LIMIT, operation, || {
            attempts.set(attempts.get() + 1);
            async { Err::<(), _>(AttemptError::transient("the server is loading its data")) }
        });
        let error = outcome.await.unwrap_err();
        assert!(error.is_timeout());
        assert!(error.source().unwrap().to_string().contains("loading"), "{error:?}");
        assert!(start.elapsed() >= LIMIT && start.elapsed() < LIMIT + Duration::from_millis(10));
        assert!((10..50).contains(&attempts.get()), "{} attempts", attempts.get());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_good_is_not_tried_again() {
        let attempts = Cell::new(0);
        let refused = retry(LIMIT, operation, || {
            attempts.set(attempts.get() + 1);
            async { Err::<(), _>(AttemptError::refused("NOPERM")) }
        });
        let error = refused.await.unwrap_err();
        assert!(!error.is_timeout() && attempts.get() == 1);
        let closed = retry(LIMIT, operation, || async { Err::<(), _>(AttemptError::Closed) });
        assert!(closed.await.unwrap_err().is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_ended_and_none_begins_past_the_deadline() {
        let start = Instant::now();
        let hanging = retry(LIMIT, operation, std::future::pending::<Result<(), AttemptError>>);
        assert!(hanging.await.unwrap_err().is_timeout());
        assert_eq!(start.elapsed(), LIMIT);
        let over = Deadline::after(Duration::ZERO);
        let never = retry(over, operation, || async { Ok::<_, AttemptError>(()) });
        assert!(never.await.unwrap_err().is_timeout());
    }

    #[tokio::test(start_paused = true)]
    async fn it_succeeds_as_soon_as_an_attempt_does() {
        let attempts = Cell::new(0);
        let value = retry(LIMIT, operation, || {
            attempts.set(attempts.get() + 1);
            let number = attempts.get();
            async move { if number < 3 { Err(AttemptError::transient("not yet")) } else { Ok(number) } }
        });
        assert_eq!(value.await.unwrap(), 3);
    }
}
