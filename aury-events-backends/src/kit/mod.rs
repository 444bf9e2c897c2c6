//! What every backend needs, written once.

#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod background;
mod backlog;
mod backoff;
mod deadline;
mod delayed;
#[cfg(feature = "wire")]
mod link;
mod log_throttle;
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod pulse;
mod retry;
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod stage;
mod sync;
mod tasks;

pub(crate) use self::delayed::{Alarm, Delayed, due_after};
#[cfg(feature = "wire")]
pub use self::link::{Connector, Link, Pause};
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
pub use self::{
    background::background,
    pulse::{Watcher, pulse},
};
pub use self::{
    backlog::Backlog,
    backoff::{Backoff, jittered},
    deadline::Deadline,
    log_throttle::LogThrottle,
    retry::{AttemptError, retry},
    sync::{lock, read, write},
    tasks::{TaskName, Tasks, catch, supervise},
};
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
pub(crate) use self::{delayed::IN_PLACE, stage::Stage};
