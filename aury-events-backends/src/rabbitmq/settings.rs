//! The settings of RabbitMQ.

use std::time::Duration;

pub use crate::config::PREFETCH;
use crate::config::{ExchangeType, QueueType, Setting, read};

/// The exchange that events are published to.
// An AMQP 0-9-1 short string; the empty name belongs to the default exchange.
pub static EXCHANGE_NAME: Setting<String> = Setting::new(
    "EXCHANGE_NAME",
    "The exchange that events are published to",
    "aury.events",
    |name| match name.len() {
        1..=255 => Ok(name.to_owned()),
        _ => Err("expected a name of 1 to 255 bytes".to_owned()),
    },
);

/// How that exchange routes.
pub static EXCHANGE_TYPE: Setting<ExchangeType> = Setting::new(
    "EXCHANGE_TYPE",
    "How that exchange routes: `topic`, `direct`, `fanout`",
    "topic",
    read::choice,
);

/// Which kind of queue holds what is not handled yet.
pub static QUEUE_TYPE: Setting<QueueType> = Setting::new(
    "QUEUE_TYPE",
    "Which kind of queue holds what is not handled yet: `quorum`, `classic`",
    "quorum",
    read::choice,
);

/// For how long handlers may block the application's runtime before the process gives up what it holds, so that another
/// one handles it.
pub static MAX_BLOCKED: Setting<Duration> = Setting::new(
    "MAX_BLOCKED",
    "For how long handlers may block the runtime before the process gives up what it holds",
    "5m",
    read::duration,
);
