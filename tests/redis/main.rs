//! Redis, with servers of the tests' own: `cargo test -p aury-events-tests --features redis --test redis -- --ignored`.

#[path = "../brokers/mod.rs"]
mod brokers;
mod pubsub;
mod throughput;
mod tls;
