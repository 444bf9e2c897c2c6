//! What the dispatch loop calls.

use std::sync::Arc;

use aury_events_backends::{Envelope, envelope::DecodeError};

use crate::{
    DEFAULT_BUS,
    declared::event::Event,
    dispatch::subscriber::{Options, StaticTopic},
    error::BoxError,
    extract::any_event::AnyEvent,
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

/// What is called for each delivery of a subscription.
pub(crate) trait Handler: Send + Sync + 'static {
    /// How its deliveries are treated.
    const OPTIONS: Options;

    /// What it takes.
    type Input: FromEnvelope;

    /// Whether it wants this event.
    fn accepts(&self, input: &Self::Input) -> bool;

    /// Handles it.
    fn call(&self, input: Self::Input) -> impl Future<Output = HandlerResult> + Send;
}

/// What a handler's first parameter can be made of.
pub trait FromEnvelope: Send + Sync + Sized {
    /// The bus on which it is listened for, unless the subscriber says otherwise.
    const BUS: &'static str;
    /// What is listened to for it, unless the subscriber says otherwise.
    const TOPIC: StaticTopic;

    /// Takes it out of an envelope.
    fn from_envelope(envelope: &Envelope) -> Result<Self, DecodeError>;

    /// The key that the event's type gives it.
    fn key(_envelope: &Envelope) -> Option<Arc<str>> {
        None
    }
}

// Recommended on purpose: the macro mentions an event's type here alone, and the compiler then says that `E` is not an
// event, instead of something about `Arc<E>`.
impl<E: Event> FromEnvelope for Arc<E> {
    const BUS: &'static str = E::BUS;
    const TOPIC: StaticTopic = StaticTopic::event::<E>();

    #[inline]
    fn from_envelope(envelope: &Envelope) -> Result<Self, DecodeError> {
        E::decode(envelope.payload())
    }

    fn key(envelope: &Envelope) -> Option<Arc<str>> {
        let event = Self::from_envelope(envelope).ok()?;
        event.key().map(|key| Arc::from(&*key))
    }
}

impl FromEnvelope for AnyEvent {
    const BUS: &'static str = DEFAULT_BUS;
    const TOPIC: StaticTopic = StaticTopic::pattern("#");

    fn from_envelope(envelope: &Envelope) -> Result<Self, DecodeError> {
        Ok(Self::new(envelope.clone()))
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
