//! Redis, with servers of the tests' own: `cargo test -p aury-events-tests --test redis -- --ignored`.

#[path = "../brokers/mod.rs"]
mod brokers;
mod dead_letters;
mod dropped;
#[path = "../dropping/mod.rs"]
mod dropping;
mod policies;
mod pubsub;
#[path = "../policies/mod.rs"]
mod rows;
mod streams;
mod throughput;
mod tls;
