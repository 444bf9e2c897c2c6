//! The settings of the backends on Redis, and the URLs that they take.

use std::sync::Arc;

pub use crate::config::PREFETCH;
use crate::{
    config::{BusUrl, Setting, read},
    destination::{Destination, Server},
};

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

/// The server as traces show it; none behind Sentinel, where it changes.
pub(super) fn server(url: Option<&BusUrl>) -> Option<Server> {
    let server = url.filter(|url| !url.scheme().ends_with("+sentinel"))?.server()?;
    Some(if server.address.starts_with('/') { server } else { server.or_port(6379) })
}

/// A stream or channel as traces show it.
pub(super) fn destination(name: String, server: Option<Server>) -> Destination {
    Destination::new(Arc::from("redis"), name).with_server(server)
}
