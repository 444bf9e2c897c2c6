//! Subscriptions: what a handler knows of its own, and those made at run time.

use std::{fmt, sync::Arc};

use aury_events_backends::{Cancel, Topic};
use tokio::task::JoinHandle;

use crate::{
    bus::EventBus,
    declared::event::Event,
    dispatch::subscriber::Options,
    dispatch::{Claims, FromEnvelope, Handler, HandlerResult, IntoHandlerResult},
    extract::any_event::AnyEvent,
    runtime::circuit_breaker::Breaker,
    runtime::context::Context,
};

/// Who a subscription is: its subscriber and its bus.
#[derive(Debug)]
pub(crate) struct SubscriptionInfo {
    id: Arc<str>,
    bus: EventBus,
    claims: Claims,
    breaker: Option<Arc<Breaker>>,
}

impl SubscriptionInfo {
    pub(crate) fn new(id: Arc<str>, bus: EventBus, breaker: Option<Arc<Breaker>>) -> Self {
        Self { id, bus, claims: Claims::default(), breaker }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn bus(&self) -> &EventBus {
        &self.bus
    }

    /// What has it pause when it keeps failing.
    pub(crate) fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_deref()
    }

    /// What an idempotent subscriber is handling now.
    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// A subscription that runs, as its bus keeps it.
pub(crate) struct Running {
    pub(crate) info: Arc<SubscriptionInfo>,
    pub(crate) task: JoinHandle<()>,
}

/// A subscription made at run time by [`EventBus::subscribe`].
///
/// It lasts until [`unsubscribe`](Self::unsubscribe) or the shutdown of its manager. Dropping the handle changes
/// nothing.
pub struct Subscription {
    info: Arc<SubscriptionInfo>,
    canceller: Arc<dyn Cancel>,
}

impl Subscription {
    pub(crate) fn new(info: Arc<SubscriptionInfo>, canceller: Arc<dyn Cancel>) -> Self {
        Self { info, canceller }
    }

    /// The id of the subscriber, as it stands in logs and dead letters.
    pub fn id(&self) -> &str {
        self.info.id()
    }

    /// Ends the subscription: no event published from now on reaches it. Returns when those that had reached it
    /// before are handled.
    ///
    /// Called from the subscription's own handler, it returns at once, since that handler is one of those to wait for.
    ///
    /// Cancel safe: the subscription ends all the same.
    pub async fn unsubscribe(self) {
        self.canceller.cancel();
        let is_own = Context::current().map(|context| context.is_of(&self.info));
        if is_own != Some(true) {
            self.info.bus().join(&self.info).await;
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.id()).finish()
    }
}

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
        Topic::Event(crate::bus::name_of::<E>())
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
                self(input, crate::extract::extract()?).await.into_handler_result()
            }
        }
    };
}
closures_over!(Arc<E>, E);
closures_over!(AnyEvent);

/// A closure as the handler of a dispatch loop.
pub(crate) struct Closure<P, F> {
    closure: F,
    parameters: std::marker::PhantomData<fn(P)>,
}

impl<P, F> Closure<P, F> {
    pub(crate) fn new(closure: F) -> Self {
        Self { closure, parameters: std::marker::PhantomData }
    }
}

impl<P: 'static, F: EventHandler<P>> Handler for Closure<P, F> {
    const OPTIONS: Options = Options::new();
    type Input = F::Input;

    fn accepts(&self, _input: &F::Input) -> bool {
        true
    }

    fn call(&self, input: F::Input) -> impl Future<Output = HandlerResult> + Send {
        self.closure.handle(input)
    }
}
