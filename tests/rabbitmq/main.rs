//! RabbitMQ, with servers of the tests' own:
//! `cargo test -p aury-events-tests --features rabbitmq --test rabbitmq -- --ignored`.

#[path = "../brokers/mod.rs"]
mod brokers;
mod chaos;
mod delays;
mod foreign;
mod harness;
mod hosts;
mod interop;
mod interruptions;
mod leaks;
mod lost_acks;
mod poison;
mod policies;
mod queue_deleted;
mod refusals;
mod retries;
mod rights;
#[path = "../policies/mod.rs"]
mod rows;
mod startup;
mod support;
mod throughput;
mod tls;
mod unroutable;
