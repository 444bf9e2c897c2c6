//! Closures as handlers.

use std::{marker::PhantomData, sync::Arc};

use aury_events_backends::Topic;

use super::handler::{Handler, HandlerResult, IntoHandlerResult};
use crate::{
    declared::{Event, Needs, Options, name_of},
    error::BoxError,
    extract::{AnyEvent, Extractor, FromEnvelope, context},
    runtime::Received,
};

/// A closure or async function that can be subscribed at run time.
///
/// It takes `Arc<E>` for an event `E`, or [`AnyEvent`] with a pattern; and up to eight further parameters, as
/// `#[subscribe]` functions do: see [`Extractor`]. It returns `()` or a `Result<(), E>`.
#[diagnostic::on_unimplemented(
    message = "this cannot be subscribed",
    label = "expected an async closure over `Arc<E>` and what else it takes from the context",
    note = "for example `bus.subscribe(async |event: Arc<OrderCreated>, context: Context| {{ … }})`; its future has to be `Send`"
)]
pub trait EventHandler<Parameters>: Send + Sync + 'static {
    #[doc(hidden)]
    type Input: FromEnvelope;

    #[doc(hidden)]
    fn needs(needs: &mut Needs);

    #[doc(hidden)]
    fn handle(&self, input: Self::Input) -> impl Future<Output = HandlerResult> + Send;
}

/// What a subscribed closure takes first, where that names an event: `Arc<E>`.
pub trait EventInput: FromEnvelope {
    #[doc(hidden)]
    fn topic() -> Topic;
}

impl<E: Event> EventInput for Arc<E> {
    fn topic() -> Topic {
        Topic::Event(name_of::<E>())
    }
}

macro_rules! closures {
    ($(($($parameter:ident)*),)*) => {$(
        closures!(over (Arc<E>) E; $($parameter)*);
        closures!(over (AnyEvent) ; $($parameter)*);
    )*};
    (over ($input:ty) $($event:ident)?; $($parameter:ident)*) => {
        impl<$($event: Event,)? $($parameter: Extractor,)* F, Fut>
            EventHandler<($input, $($parameter,)*)> for F
        where
            F: Fn($input, $($parameter),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoHandlerResult> + Send,
        {
            type Input = $input;

            fn needs(_needs: &mut Needs) {
                $($parameter::needs(_needs);)*
            }

            #[allow(non_snake_case, reason = "a parameter is called as its type")]
            async fn handle(&self, input: $input) -> HandlerResult {
                closures!(context $($parameter)*);
                self(input, $($parameter),*).await.into_handler_result()
            }
        }
    };
    (context) => {};
    (context $($parameter:ident)*) => {
        // One for all of them.
        let context = context()?;
        $(let $parameter = $parameter::extract(&context).await?;)*
    };
}
closures! {
    (), (T1), (T1 T2), (T1 T2 T3), (T1 T2 T3 T4), (T1 T2 T3 T4 T5), (T1 T2 T3 T4 T5 T6),
    (T1 T2 T3 T4 T5 T6 T7), (T1 T2 T3 T4 T5 T6 T7 T8),
}

/// A closure as the handler of a dispatch loop.
pub(crate) struct Closure<P, F> {
    closure: F,
    options: Options,
    parameters: PhantomData<fn(P)>,
}

impl<P, F> Closure<P, F> {
    pub(crate) fn new(closure: F, options: Options) -> Self {
        Self { closure, options, parameters: PhantomData }
    }
}

impl<P: 'static, F: EventHandler<P>> Handler for Closure<P, F> {
    const KNOWN: Option<Options> = None;
    type Input = F::Input;
    type Taken = F::Input;

    fn options(&self) -> &Options {
        &self.options
    }

    fn accepts(&self, _: &F::Input, _: &Received<'_>) -> Result<bool, BoxError> {
        Ok(true)
    }

    fn call(&self, input: F::Input) -> impl Future<Output = HandlerResult> + Send {
        self.closure.handle(input)
    }
}
