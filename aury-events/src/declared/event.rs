//! What an event is.

use std::{borrow::Cow, sync::Arc};

use aury_events_backends::{
    Payload,
    envelope::{DecodeError, TypedPayload},
};
use serde::{Serialize, de::DeserializeOwned};

/// A fact that happened, immutable, with a name by which subscribers find it.
///
/// Derive it:
///
/// ```
/// use aury_events::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "order.created")]
/// struct OrderCreated {
///     #[event(key)]
///     order_id: String,
///     amount: f64,
/// }
///
/// assert_eq!(OrderCreated::NAME, "order.created");
/// ```
///
/// The derive also makes the event known to the [catalogue](crate::EventBusManager::catalogue) and to the checks at
/// start-up. See [`macro@crate::Event`] for its attributes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "not an event",
    note = "add `#[derive(Event)]` and serde's derives to it: `#[derive(Serialize, Deserialize, Event)]`"
)]
pub trait Event: EventData + Send + Sync + 'static {
    /// The name: dot-separated segments of letters, digits, `_` and `-`, at most 200 bytes.
    const NAME: &'static str;

    /// The version of the event's shape, for those who read it elsewhere or later.
    const VERSION: u32 = 1;

    /// The bus on which it is published and subscribed to, unless said otherwise there.
    const BUS: &'static str = super::DEFAULT_BUS;

    /// The key: events with one key belong together, such as all events of one order. Backends that keep order keep
    /// it per key.
    fn key(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// What every event has besides. Implemented for all of them, so that no type can say something else.
pub trait EventExt: Event {
    /// The event's [name](Event::NAME), on a value.
    fn event_name(&self) -> &'static str {
        Self::NAME
    }
}

impl<E: Event> EventExt for E {}

/// What can be an event's data: anything with serde's derives. Implemented for all such types.
///
/// It stands between [`Event`] and serde's traits so that the compiler has one message for an event without
/// serde's derives, instead of one for each of the two traits.
#[diagnostic::on_unimplemented(
    message = "the event `{Self}` needs serde's derives",
    label = "`Serialize` or `Deserialize` is missing, or a field lacks it",
    note = "write `#[derive(Serialize, Deserialize, Event)]`, with `use serde::{{Deserialize, Serialize}};`"
)]
pub trait EventData: Sized {
    #[doc(hidden)]
    fn into_payload(this: Arc<Self>) -> Arc<dyn TypedPayload>
    where
        Self: Send + Sync + 'static;
    #[doc(hidden)]
    fn decode(payload: &Payload) -> Result<Arc<Self>, DecodeError>
    where
        Self: Send + Sync + 'static;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> EventData for T {
    fn into_payload(this: Arc<Self>) -> Arc<dyn TypedPayload>
    where
        Self: Send + Sync + 'static,
    {
        this
    }

    #[inline]
    fn decode(payload: &Payload) -> Result<Arc<Self>, DecodeError>
    where
        Self: Send + Sync + 'static,
    {
        payload.decode()
    }
}

/// What can be published: an event, or an [`Arc`] of one.
///
/// An `Arc` is not copied, and lets the caller keep the event when publishing fails.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event and cannot be published",
    label = "not an event",
    note = "publish a type with `#[derive(Serialize, Deserialize, Event)]`, or an `Arc` of one"
)]
pub trait IntoEvent {
    /// The type of the event.
    type Event: Event;

    /// The event, shared.
    fn into_event(self) -> Arc<Self::Event>;
}

impl<E: Event> IntoEvent for E {
    type Event = E;

    fn into_event(self) -> Arc<E> {
        Arc::new(self)
    }
}

impl<E: Event> IntoEvent for Arc<E> {
    type Event = E;

    fn into_event(self) -> Arc<E> {
        self
    }
}
