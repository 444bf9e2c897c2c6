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
pub enum MaybeReady<'a, T> {
    /// The value; `None` once it has been taken.
    Ready(Option<T>),
    /// The wait for it.
    Pending(BoxFuture<'a, T>),
}

impl<'a, T> MaybeReady<'a, T> {
    /// The value is at hand.
    #[inline]
    pub fn ready(value: T) -> Self {
        Self::Ready(Some(value))
    }

    /// The value has to be waited for.
    pub fn pending(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self::Pending(Box::pin(future))
    }

    /// The value if it is at hand, else the wait for it. Awaiting the whole does the same; this is for paths on which
    /// every instruction counts.
    ///
    /// # Panics
    ///
    /// When it has completed as a future before.
    #[inline]
    pub fn now(self) -> Result<T, BoxFuture<'a, T>> {
        match self {
            Self::Ready(value) => Ok(value.expect("a completed future is not used again")),
            Self::Pending(future) => Err(future),
        }
    }
}

impl<T: Unpin> Future for MaybeReady<'_, T> {
    type Output = T;

    /// # Panics
    ///
    /// When polled again after it has completed, as other futures do.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Self::Ready(value) => {
                Poll::Ready(value.take().expect("a completed future is not polled again"))
            }
            Self::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for MaybeReady<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Pending(_) => "Pending",
        })
    }
}
