//! What every backend needs, written once.

mod backoff;
mod delayed;
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod stage;

#[cfg(feature = "wire")]
pub use self::backoff::Backoff;
pub use self::backoff::jittered;
pub(crate) use self::delayed::{Alarm, Delayed, due_after};
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
pub(crate) use self::{delayed::IN_PLACE, stage::Stage};
