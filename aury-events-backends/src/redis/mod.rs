//! The backends on a Redis server (version 6 or later), with feature `redis`.
//!
//! - [`pubsub`]: `EVENT_BACKEND=redis`, at most once, to every process that listens at that moment;
//! - [`streams`]: `EVENT_BACKEND=redis-streams`, at least once, shared by the processes of a service;
//! - [`settings`]: what is set for these two alone;
//! - [`RedisIdempotency`]: which events were handled, shared by the processes of a service.
//!
#![doc = include_str!("server.md")]

mod address;
mod codec;
mod connection;
mod dead_letters;
mod idempotency;
mod link;
mod names;
mod probe;
pub mod pubsub;
mod scope;
mod sentinels;
pub mod settings;
pub mod streams;
mod tls;

pub use self::idempotency::RedisIdempotency;
