//! The link-time entry of a `#[subscribe]` function.

use std::{fmt, marker::PhantomData, sync::Arc};

use aury_events_backends::{BoxFuture, Consumer};

use super::handler::{Handler, HandlerResult, Taken};
use crate::{
    declared::{Location, Needs, Options, StaticTopic, SubscriberDeclaration},
    error::BoxError,
    extract::FromEnvelope,
    runtime::{Received, SubscriptionInfo},
};

/// What `#[subscribe]` makes of a function: everything that is known while compiling.
pub trait Subscriber: Send + Sync + 'static {
    /// The stable id.
    const ID: &'static str;
    /// The path of the function.
    const PATH: &'static str;
    /// Where it stands.
    const LOCATION: Location;
    /// The bus that it listens on.
    const BUS: &'static str = <Self::Input as FromEnvelope>::BUS;
    /// What it listens to.
    const TOPIC: StaticTopic = <Self::Input as FromEnvelope>::TOPIC;
    /// Its further options.
    const OPTIONS: Options;

    /// What the function takes as its first parameter, in the form in which it is handed on.
    type Input: FromEnvelope;
    /// What it takes at a time: one of them, or a batch.
    type Taken: Taken<Self::Input>;

    /// Names what the function's further parameters need at start-up.
    fn needs(_needs: &mut Needs) {}

    /// The condition `when`.
    ///
    /// # Errors
    ///
    /// When it looks at the context, and there is none: the buses have been abandoned.
    fn accepts(_input: &Self::Input, _received: &Received<'_>) -> Result<bool, BoxError> {
        Ok(true)
    }

    /// Calls the function.
    fn call(taken: Self::Taken) -> impl Future<Output = HandlerResult> + Send;
}

/// The link-time entry of a `#[subscribe]` function.
pub struct SubscriberEntry {
    pub(crate) declaration: SubscriberDeclaration,
    serve: ServeFn,
}

/// Serves a subscription to its end.
type ServeFn = fn(Box<dyn Consumer>, Arc<SubscriptionInfo>) -> BoxFuture<'static, ()>;

inventory::collect!(SubscriberEntry);

impl SubscriberEntry {
    /// The entry of `S`, as the macro submits it.
    pub const fn of<S: Subscriber>() -> Self {
        Self {
            declaration: SubscriberDeclaration {
                id: S::ID,
                path: S::PATH,
                location: S::LOCATION,
                bus: S::BUS,
                topic: S::TOPIC,
                options: S::OPTIONS,
                needs: S::needs,
            },
            serve: |consumer, info| Linked::<S>(PhantomData).serve(consumer, info),
        }
    }

    /// All subscribers that are linked into the program, by id.
    pub(crate) fn all() -> Vec<&'static Self> {
        let mut all: Vec<_> = inventory::iter::<Self>.into_iter().collect();
        all.sort_unstable_by_key(|entry| (entry.declaration.id, entry.declaration.location));
        all
    }

    /// What is known of all of them, by id.
    pub(crate) fn declared() -> impl Iterator<Item = &'static SubscriberDeclaration> {
        Self::all().into_iter().map(|entry| &entry.declaration)
    }

    /// Serves the subscriber until its consumer ends.
    pub(crate) fn serve(
        &self,
        consumer: Box<dyn Consumer>,
        info: Arc<SubscriptionInfo>,
    ) -> BoxFuture<'static, ()> {
        (self.serve)(consumer, info)
    }
}

impl fmt::Debug for SubscriberEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.declaration, f)
    }
}

/// A subscriber known at link time, as the handler of a dispatch loop.
struct Linked<S>(PhantomData<S>);

impl<S: Subscriber> Handler for Linked<S> {
    const KNOWN: Option<Options> = Some(S::OPTIONS);

    type Input = S::Input;
    type Taken = S::Taken;

    #[inline(always)]
    fn options(&self) -> &Options {
        const { &S::OPTIONS }
    }

    fn accepts(&self, input: &S::Input, received: &Received<'_>) -> Result<bool, BoxError> {
        S::accepts(input, received)
    }

    fn call(&self, taken: S::Taken) -> impl Future<Output = HandlerResult> + Send {
        S::call(taken)
    }
}
