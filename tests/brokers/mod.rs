//! Real servers for tests, and the ways in which they fail.
//!
//! - [`RedisServer`]: a `redis-server` of the test's own, on a free port, in a temporary folder; it ends with its value;
//!   of another release if need be, as the replica of another one, watched by [`RedisSentinels`], as a [`RedisCluster`];
//! - [`RabbitServer`]: a `rabbitmq-server` likewise; since it takes seconds to start, tests share one, or lease one
//!   that they may break, or have several in a [`RabbitCluster`];
//! - `Amqp`: a plain client of it, for what others than the framework do there;
//! - [`Python`]: Python with packages of its own;
//! - [`Proxy`]: a TCP proxy in front of a server, which cuts, refuses, stalls and slows connections.
//!
//! A test that starts a server is `#[ignore = "needs redis-server; tests/run installs it"]`, or `rabbitmq-server`.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

#[cfg(feature = "rabbitmq")]
mod amqp;
mod certificates;
mod process;
mod proxy;
mod python;
mod rabbit_cluster;
mod rabbitmq;
#[cfg(feature = "rabbitmq")]
mod raw_amqp;
mod redis;
#[cfg(test)]
mod tests;

#[cfg(feature = "rabbitmq")]
pub(crate) use self::{
    amqp::Amqp,
    raw_amqp::{RawAmqp, RawProperties, long, short},
};
pub(crate) use self::{
    certificates::make_certificates,
    proxy::Proxy,
    python::{Python, succeeds},
    rabbit_cluster::RabbitCluster,
    rabbitmq::{Leased, RabbitServer},
    redis::{RedisCluster, RedisOptions, RedisRelease, RedisSentinels, RedisServer},
};
