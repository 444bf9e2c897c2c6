//! What can be an event's key.

use std::{borrow::Cow, fmt::Display, sync::Arc};

use uuid::Uuid;

/// What can be an event's key, marked by `#[event(key)]`.
///
/// Implemented for strings, integers, [`Uuid`] and options of them; for a type of your own it is one line:
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
    label = "`#[event(key)]` takes a string, an integer, a `Uuid`, or an option of one",
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
key_by_display!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, char, bool, Uuid);

/// The key that a function gives.
pub fn displayed(key: impl Display) -> Option<Cow<'static, str>> {
    Some(Cow::Owned(key.to_string()))
}
