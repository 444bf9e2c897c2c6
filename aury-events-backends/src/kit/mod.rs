//! What every backend needs, written once.

#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod background;
mod backoff;
mod delayed;
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod stage;

#[cfg(any(feature = "redis", feature = "rabbitmq"))]
pub use self::background::background;
#[cfg(feature = "wire")]
pub use self::backoff::Backoff;
pub use self::backoff::jittered;
pub(crate) use self::delayed::{Alarm, Delayed, due_after};
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
pub(crate) use self::{delayed::IN_PLACE, stage::Stage};
