//! What an event is.

use std::{borrow::Cow, sync::Arc};

use aury_events_backends::{
    Payload,
    envelope::{DecodeError, TypedPayload},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::declared::location::Location;

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
    const BUS: &'static str = crate::DEFAULT_BUS;

    /// The name, on a value.
    fn event_name(&self) -> &'static str {
        Self::NAME
    }

    /// The key: events with one key belong together, such as all events of one order. Backends that keep order keep
    /// it per key.
    fn key(&self) -> Option<Cow<'_, str>> {
        None
    }
}

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

/// What can be an event's key, marked by `#[event(key)]`.
///
/// Implemented for strings, integers and options of them; for a type of your own it is one line:
///
/// ```
/// use aury_events::EventKey;
/// use std::borrow::Cow;
///
/// struct OrderId(String);
///
/// impl EventKey for OrderId {
///     fn event_key(&self) -> Option<Cow<'_, str>> {
///         Some(Cow::Borrowed(&self.0))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an event's key",
    label = "`#[event(key)]` takes a string, an integer, or an option of one",
    note = "implement `aury_events::EventKey` for a type of your own"
)]
pub trait EventKey {
    /// The key; `None` for an event that belongs to no others.
    fn event_key(&self) -> Option<Cow<'_, str>>;
}

impl EventKey for str {
    fn event_key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl EventKey for String {
    fn event_key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl<T: EventKey + ToOwned + ?Sized> EventKey for Cow<'_, T> {
    fn event_key(&self) -> Option<Cow<'_, str>> {
        (**self).event_key()
    }
}

impl<T: EventKey> EventKey for Option<T> {
    fn event_key(&self) -> Option<Cow<'_, str>> {
        self.as_ref()?.event_key()
    }
}

macro_rules! key_behind_pointer {
    ($($pointer:ty),*) => {$(
        impl<T: EventKey + ?Sized> EventKey for $pointer {
            fn event_key(&self) -> Option<Cow<'_, str>> {
                (**self).event_key()
            }
        }
    )*};
}
key_behind_pointer!(&T, Box<T>, Arc<T>);

macro_rules! key_by_display {
    ($($printed:ty),*) => {$(
        impl EventKey for $printed {
            fn event_key(&self) -> Option<Cow<'_, str>> {
                Some(Cow::Owned(self.to_string()))
            }
        }
    )*};
}
key_by_display!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, char, bool);

/// The link-time entry of an event type.
#[derive(Debug)]
pub struct EventEntry {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) bus: &'static str,
    pub(crate) type_path: &'static str,
    pub(crate) location: Location,
}

inventory::collect!(EventEntry);

impl EventEntry {
    /// The entry of `E`, as the derive submits it.
    pub const fn of<E: Event>(location: Location, type_path: &'static str) -> Self {
        Self { name: E::NAME, version: E::VERSION, bus: E::BUS, type_path, location }
    }

    /// All event types that are linked into the program, by name.
    pub(crate) fn all() -> Vec<&'static Self> {
        let mut all: Vec<_> = inventory::iter::<Self>.into_iter().collect();
        all.sort_unstable_by_key(|entry| (entry.name, entry.type_path));
        all
    }
}
