//! A future that is free when its value is at hand.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A boxed future, as object-safe traits return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The result of an operation that is mostly done at once and only sometimes has to wait.
///
/// The ready path allocates nothing; only a wait is boxed.
pub struct MaybeReady<'a, T>(Stage<'a, T>);

enum Stage<'a, T> {
    /// `None` once it has been taken.
    Ready(Option<T>),
    Pending(BoxFuture<'a, T>),
}

impl<'a, T> MaybeReady<'a, T> {
    /// The value is at hand.
    #[inline]
    pub fn ready(value: T) -> Self {
        Self(Stage::Ready(Some(value)))
    }

    /// The value has to be waited for.
    pub fn pending(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(Stage::Pending(Box::pin(future)))
    }

    /// The value if it is at hand, else the wait for it. Awaiting the whole does the same; this is for paths on which
    /// every instruction counts.
    ///
    /// # Panics
    ///
    /// When it has completed as a future before.
    #[inline]
    pub fn now(self) -> Result<T, BoxFuture<'a, T>> {
        match self.0 {
            Stage::Ready(value) => Ok(value.expect("a completed future is not used again")),
            Stage::Pending(future) => Err(future),
        }
    }
}

impl<T: Unpin> Future for MaybeReady<'_, T> {
    type Output = T;

    /// # Panics
    ///
    /// When polled again after it has completed, as other futures do.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.get_mut().0 {
            Stage::Ready(value) => {
                Poll::Ready(value.take().expect("a completed future is not polled again"))
            }
            Stage::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for MaybeReady<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Stage::Ready(_) => "Ready",
            Stage::Pending(_) => "Pending",
        })
    }
}
