//! The settings of the backends on Redis, and the URLs that they take.

pub use crate::config::PREFETCH;
use crate::config::{Setting, read};

/// What the names of channels and streams begin with.
pub static KEY_PREFIX: Setting<String> = Setting::new(
    "KEY_PREFIX",
    "What the names of channels and streams begin with; a named bus that does not set it has `events:{bus}:`",
    "events:",
    read::text,
);

/// The schemes of URLs that lead to a Redis server.
pub(super) const SCHEMES: &[&str] =
    &["redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+unix", "unix"];

/// What such a URL looks like.
pub(super) const EXAMPLE: &str = "redis://localhost:6379";
