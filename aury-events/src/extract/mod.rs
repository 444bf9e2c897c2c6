//! What a subscriber can take besides its event.

pub(crate) mod any_event;
pub(crate) mod receipt;

use std::{
    any::{Any, TypeId, type_name},
    fmt,
    ops::Deref,
    sync::Arc,
};

use aury_events_backends::envelope::TraceId;

use crate::{bus::EventBus, error::BoxError, runtime::context::Context};

/// A parameter of a subscriber, made from the [`Context`] of the event.
///
/// ```
/// use aury_events::{BoxError, Context, FromContext};
///
/// /// The tenant that an event belongs to, from its header.
/// struct Tenant(String);
///
/// impl FromContext for Tenant {
///     fn from_context(context: &Context) -> Result<Self, BoxError> {
///         let tenant = context.header("tenant").ok_or("the event has no header `tenant`")?;
///         Ok(Self(tenant.to_owned()))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a subscriber",
    label = "not made from the context of an event",
    note = "the first parameter is the event; each further one is `Context`, `State<T>`, `EventBus`, `TraceId`, `Receipt`, or a type of your own that implements `FromContext`"
)]
pub trait FromContext: Sized + Send {
    /// Makes the value.
    ///
    /// # Errors
    ///
    /// An error counts as a failure of the subscriber.
    fn from_context(context: &Context) -> Result<Self, BoxError>;

    /// Names what has to be there at start-up.
    fn needs(_needs: &mut Needs) {}
}

/// What the parameters of a subscriber need: checked at start-up, so that nothing is missing at the first event.
#[derive(Debug, Default)]
pub struct Needs {
    pub(crate) states: Vec<StateKey>,
    /// How many parameters settle the delivery.
    pub(crate) receipts: usize,
}

impl Needs {
    /// A [`State<T>`] has to be there.
    pub fn state<T: Clone + Send + Sync + 'static>(&mut self) {
        self.states.push(StateKey::of::<T>());
    }
}

/// A value that the application gave to the manager, by [`state`](crate::EventBusManagerBuilder::state).
///
/// Every delivery gets a clone, so it is usually something shared: a pool, a client, an `Arc`.
///
/// ```
/// # use aury_events::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated;
/// #[derive(Clone)]
/// struct Mailer;
///
/// #[subscribe]
/// async fn confirm(event: &OrderCreated, State(mailer): State<Mailer>) {
///     // …
/// }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct State<T>(pub T);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone + Send + Sync + 'static> FromContext for State<T> {
    fn from_context(context: &Context) -> Result<Self, BoxError> {
        match context.manager().states().get::<T>() {
            Some(value) => Ok(Self(value.clone())),
            None => Err(format!("no state of type `{}` was given", type_name::<T>()).into()),
        }
    }

    fn needs(needs: &mut Needs) {
        needs.state::<T>();
    }
}

impl FromContext for Context {
    fn from_context(context: &Context) -> Result<Self, BoxError> {
        Ok(context.clone())
    }
}

/// The bus on which the event came.
impl FromContext for EventBus {
    fn from_context(context: &Context) -> Result<Self, BoxError> {
        Ok(context.bus())
    }
}

/// The trace in which the event was published.
impl FromContext for TraceId {
    fn from_context(context: &Context) -> Result<Self, BoxError> {
        Ok(context.trace().trace_id())
    }
}

/// Makes a parameter in the context of the event that the current task handles.
pub(crate) fn extract<T: FromContext>() -> Result<T, BoxError> {
    Context::current()
        .map(|context| T::from_context(&context))
        .unwrap_or_else(|| Err("no event is being handled here".into()))
}

/// How a parameter of a subscriber is made, and what that needs.
///
/// The macro asks for the two in different places, and the compiler would report a type that is not [`FromContext`] at
/// each of them: hence one bound, that of [`extractor`], and none here.
#[derive(Debug)]
pub struct Extractor<T> {
    extract: fn() -> Result<T, BoxError>,
    needs: fn(&mut Needs),
}

/// The extractor of `T`.
pub const fn extractor<T: FromContext>() -> Extractor<T> {
    Extractor { extract: extract::<T>, needs: T::needs }
}

impl<T> Extractor<T> {
    /// Makes the parameter in the context of the event that the current task handles.
    pub fn extract(self) -> Result<T, BoxError> {
        (self.extract)()
    }

    /// Names what has to be there at start-up.
    pub fn needs(self, needs: &mut Needs) {
        (self.needs)(needs);
    }
}

/// A type of state: its identity, and its name for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StateKey {
    id: TypeId,
    pub(crate) name: &'static str,
}

impl StateKey {
    fn of<T: 'static>() -> Self {
        Self { id: TypeId::of::<T>(), name: type_name::<T>() }
    }
}

/// The values given to a manager, one of a type.
#[derive(Default)]
pub(crate) struct States(Vec<(StateKey, Arc<dyn Any + Send + Sync>)>);

impl States {
    /// Adds a value. One of the same type stays in front of it: see [`States::repeated`].
    pub(crate) fn add<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.push((StateKey::of::<T>(), Arc::new(value)));
    }

    pub(crate) fn has(&self, key: StateKey) -> bool {
        self.0.iter().any(|(known, _)| known.id == key.id)
    }

    fn get<T: 'static>(&self) -> Option<&T> {
        // There are few of them: looking through all is faster than hashing.
        let (_, value) = self.0.iter().find(|(key, _)| key.id == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// The types of which more than one value was given.
    pub(crate) fn repeated(&self) -> Vec<StateKey> {
        let earlier = |at: usize, id| self.0[..at].iter().any(|(key, _)| key.id == id);
        let all = self.0.iter().enumerate();
        all.filter(|&(at, (key, _))| earlier(at, key.id)).map(|(_, (key, _))| *key).collect()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key.name)).finish()
    }
}
