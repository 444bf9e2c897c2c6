//! What the dispatch loop calls.

use std::sync::Arc;

use aury_events_backends::{BoxFuture, Consumer};

use crate::{
    declared::Options,
    error::BoxError,
    extract::FromEnvelope,
    runtime::{Received, SubscriptionInfo},
};

/// What handling an event came to.
pub type HandlerResult = Result<(), HandlerError>;

/// A handler's error, and whether it is worth trying again.
#[derive(Debug)]
pub struct HandlerError {
    pub(super) source: BoxError,
    /// Trying again would not help, so says `retry_if`.
    pub(super) is_final: bool,
}

impl From<BoxError> for HandlerError {
    fn from(source: BoxError) -> Self {
        Self { source, is_final: false }
    }
}

/// The result of a handler with `retry_if`.
///
/// The bound is on the whole result, so that the compiler blames the return type for an error that does not fit.
pub fn retry_if<E>(result: Result<(), E>, is_worth_retrying: fn(&E) -> bool) -> HandlerResult
where
    Result<(), E>: IntoHandlerResult,
{
    let is_final = result.as_ref().is_err_and(|error| !is_worth_retrying(error));
    result.into_handler_result().map_err(|error| HandlerError { is_final, ..error })
}

/// What is called for the deliveries of a subscription.
pub trait Handler: Send + Sync + 'static {
    /// How its deliveries are treated, where that is known while compiling: no other way is compiled then.
    const KNOWN: Option<Options>;

    /// What a delivery is decoded to.
    type Input: FromEnvelope;

    /// What it takes at a time: one [`Input`](Self::Input), or a `Vec` of them.
    type Taken: Taken<Self::Input>;

    /// How its deliveries are treated.
    fn options(&self) -> &Options;

    /// Whether it wants this event.
    fn accepts(&self, input: &Self::Input, received: &Received<'_>) -> Result<bool, BoxError>;

    /// Handles what it takes.
    fn call(&self, taken: Self::Taken) -> impl Future<Output = HandlerResult> + Send;

    /// Serves a subscription until its consumer ends.
    fn serve(
        self,
        consumer: Box<dyn Consumer>,
        info: Arc<SubscriptionInfo>,
    ) -> BoxFuture<'static, ()>
    where
        Self: Sized,
    {
        Self::Taken::serve(self, consumer, info)
    }
}

/// What a handler over `I` takes at a time, which decides how its subscription is served.
pub trait Taken<I>: Send + Sized {
    /// Serves a subscription until its consumer ends.
    fn serve<H: Handler<Input = I, Taken = Self>>(
        handler: H,
        consumer: Box<dyn Consumer>,
        info: Arc<SubscriptionInfo>,
    ) -> BoxFuture<'static, ()>
    where
        I: FromEnvelope;
}

/// What a subscriber may return: nothing, or a `Result<(), E>` whose error fits into a boxed one.
#[diagnostic::on_unimplemented(
    message = "a subscriber cannot return `{Self}`",
    label = "expected `()` or `Result<(), E>`",
    note = "`E` is any error type that converts into `Box<dyn Error + Send + Sync>`, as those of `anyhow` and `thiserror` do"
)]
pub trait IntoHandlerResult {
    /// As the dispatch loop takes it.
    fn into_handler_result(self) -> HandlerResult;
}

impl IntoHandlerResult for () {
    #[inline]
    fn into_handler_result(self) -> HandlerResult {
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> IntoHandlerResult for Result<(), E> {
    fn into_handler_result(self) -> HandlerResult {
        self.map_err(|error| error.into().into())
    }
}
