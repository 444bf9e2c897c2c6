//! `when`: whether a subscriber wants an event.

use crate::{
    error::BoxError,
    runtime::{Context, Received},
};

/// A function as the condition of a subscriber, with the context of the event or without.
#[diagnostic::on_unimplemented(
    message = "this cannot be the condition of a subscriber to `{E}`",
    label = "expected a `fn(&{E}) -> bool`, or a `fn(&{E}, &Context) -> bool`"
)]
pub trait Condition<E, Parameters> {
    /// Whether it holds.
    ///
    /// # Errors
    ///
    /// When it takes the context, and there is none.
    fn holds(&self, event: &E, received: &Received<'_>) -> Result<bool, BoxError>;
}

impl<E, F: Fn(&E) -> bool> Condition<E, (E,)> for F {
    fn holds(&self, event: &E, _: &Received<'_>) -> Result<bool, BoxError> {
        Ok(self(event))
    }
}

impl<E, F: Fn(&E, &Context) -> bool> Condition<E, (E, Context)> for F {
    fn holds(&self, event: &E, received: &Received<'_>) -> Result<bool, BoxError> {
        Ok(self(event, &received.context()?))
    }
}

/// Whether a condition holds.
///
/// # Errors
///
/// When it takes the context, and there is none.
pub fn holds<E, Parameters>(
    condition: impl Condition<E, Parameters>,
    event: &E,
    received: &Received<'_>,
) -> Result<bool, BoxError> {
    condition.holds(event, received)
}
