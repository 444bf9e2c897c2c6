//! A panic in a handler is a failure of that handler alone.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use aury_events_backends::DeadLetterReason;

/// Runs a handler to its end, in whatever way it ends.
pub(super) async fn catch(
    future: impl Future<Output = Result<(), DeadLetterReason>>,
) -> Result<(), DeadLetterReason> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // Unwind safe: after a panic the future is not polled again, and what it shares with others is the business
        // of its locks, which are poisoned.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(Err(DeadLetterReason::Panicked(message(&*panic)))),
        }
    })
    .await
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(the panic carries no message)").to_owned()
}
