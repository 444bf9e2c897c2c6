//! RabbitMQ, with servers of the tests' own: `cargo test -p aury-events-tests --features rabbitmq --test rabbitmq -- --ignored`.

#[path = "../brokers/mod.rs"]
mod brokers;
mod harness;
mod policies;
#[path = "../policies/mod.rs"]
mod rows;
