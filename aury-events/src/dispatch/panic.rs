//! A panic of a subscriber is a failure of that subscriber alone.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

use aury_events_backends::DeadLetterReason;

use super::attempt::Failed;

/// Calls `f`; a panic in it is the reason for which it failed.
///
/// Taken to be unwind safe: what `f` leaves behind is not used again, and what it shares with others is the business of
/// its locks, which are poisoned.
#[inline]
pub(super) fn catch<T>(f: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result,
        Err(panic) => Err(DeadLetterReason::Panicked(message(&*panic)).into()),
    }
}

/// Runs a future to its end; a panic in it is the reason for which it failed.
#[inline]
pub(super) fn catch_in<T, F>(mut future: Pin<&mut F>) -> impl Future<Output = Result<T, Failed>>
where
    F: Future<Output = Result<T, Failed>> + ?Sized,
{
    poll_fn(move |cx| match catch(|| Ok(future.as_mut().poll(cx))) {
        Ok(poll) => poll,
        // It is not polled again.
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
}

#[cold]
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(the panic carries no message)").to_owned()
}
