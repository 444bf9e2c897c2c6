//! Closures as handlers.

use std::{marker::PhantomData, sync::Arc};

use aury_events_backends::Topic;

use super::handler::{Handler, HandlerResult, IntoHandlerResult};
use crate::{
    declared::{Event, Options, name_of},
    extract::{AnyEvent, FromEnvelope, context},
    runtime::Context,
};

/// A closure or function that can be subscribed at run time.
///
/// It takes `Arc<E>` for an event `E`, or [`AnyEvent`] with a pattern, and may take the [`Context`] as its second
/// parameter. It returns `()` or a `Result<(), E>`, as `#[subscribe]` functions do.
#[diagnostic::on_unimplemented(
    message = "this cannot be subscribed",
    label = "expected an async closure over `Arc<E>`, or over `Arc<E>` and `Context`",
    note = "for example `bus.subscribe(|event: Arc<OrderCreated>| async move {{ … }})`; its future has to be `Send`"
)]
pub trait EventHandler<Parameters>: Send + Sync + 'static {
    #[doc(hidden)]
    type Input: FromEnvelope;

    #[doc(hidden)]
    fn handle(&self, input: Self::Input) -> impl Future<Output = HandlerResult> + Send;
}

/// An input with a topic of its own: a type of event.
pub trait TypedInput: FromEnvelope {
    #[doc(hidden)]
    fn topic() -> Topic;
}

impl<E: Event> TypedInput for Arc<E> {
    fn topic() -> Topic {
        Topic::Event(name_of::<E>())
    }
}

macro_rules! closures_over {
    ($input:ty $(, $event:ident)?) => {
        impl<$($event: Event,)? F, Fut> EventHandler<($input,)> for F
        where
            F: Fn($input) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoHandlerResult> + Send,
        {
            type Input = $input;

            async fn handle(&self, input: $input) -> HandlerResult {
                self(input).await.into_handler_result()
            }
        }

        impl<$($event: Event,)? F, Fut> EventHandler<($input, Context)> for F
        where
            F: Fn($input, Context) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoHandlerResult> + Send,
        {
            type Input = $input;

            async fn handle(&self, input: $input) -> HandlerResult {
                self(input, context()?).await.into_handler_result()
            }
        }
    };
}
closures_over!(Arc<E>, E);
closures_over!(AnyEvent);

/// A closure as the handler of a dispatch loop.
pub(crate) struct Closure<P, F> {
    closure: F,
    parameters: PhantomData<fn(P)>,
}

impl<P, F> Closure<P, F> {
    pub(crate) fn new(closure: F) -> Self {
        Self { closure, parameters: PhantomData }
    }
}

impl<P: 'static, F: EventHandler<P>> Handler for Closure<P, F> {
    const OPTIONS: Options = Options::DEFAULT;
    type Input = F::Input;
    type Taken = F::Input;

    fn accepts(&self, _input: &F::Input) -> bool {
        true
    }

    fn call(&self, input: F::Input) -> impl Future<Output = HandlerResult> + Send {
        self.closure.handle(input)
    }
}
