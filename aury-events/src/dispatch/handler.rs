//! What the dispatch loop calls.

use std::sync::Arc;

use aury_events_backends::{Delivery, envelope::DecodeError};

use crate::{any_event::AnyEvent, error::BoxError, event::Event};

/// What handling an event came to.
pub type HandlerResult = Result<(), BoxError>;

/// What is called for each delivery of a subscription.
pub(crate) trait Handler: Send + Sync + 'static {
    /// What it takes.
    type Input: FromDelivery;

    /// Whether it wants this event.
    fn accepts(&self, input: &Self::Input) -> bool;

    /// Handles it.
    fn call(&self, input: Self::Input) -> impl Future<Output = HandlerResult> + Send;
}

/// What a handler's first parameter can be made of.
pub trait FromDelivery: Send + Sync + Sized {
    /// Takes it out of a delivery.
    fn from_delivery(delivery: &Delivery) -> Result<Self, DecodeError>;
}

#[diagnostic::do_not_recommend]
impl<E: Event> FromDelivery for Arc<E> {
    fn from_delivery(delivery: &Delivery) -> Result<Self, DecodeError> {
        E::decode(delivery.payload())
    }
}

impl FromDelivery for AnyEvent {
    fn from_delivery(delivery: &Delivery) -> Result<Self, DecodeError> {
        Ok(Self::new(delivery.envelope().clone()))
    }
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
    fn into_handler_result(self) -> HandlerResult {
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> IntoHandlerResult for Result<(), E> {
    fn into_handler_result(self) -> HandlerResult {
        self.map_err(Into::into)
    }
}
