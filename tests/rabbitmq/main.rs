//! RabbitMQ, with servers of the tests' own:
//! `cargo test -p aury-events-tests --features rabbitmq --test rabbitmq -- --ignored`.

mod backlog;
mod blocked_runtime;
#[path = "../brokers/mod.rs"]
mod brokers;
mod chaos;
mod delays;
mod dropped;
#[path = "../dropping/mod.rs"]
mod dropping;
mod foreign;
mod former_bindings;
mod harness;
mod hosts;
mod interop;
mod interruptions;
mod leaks;
mod long_waits;
mod lost_acks;
#[path = "../values/mod.rs"]
mod odd_values;
#[path = "../panicking/mod.rs"]
mod panicking;
mod panics;
mod poison;
mod policies;
mod questions;
mod queue_deleted;
mod refusals;
mod retries;
mod rights;
#[path = "../policies/mod.rs"]
mod rows;
#[path = "../runtimes/mod.rs"]
mod runtimes;
#[path = "../spans/mod.rs"]
mod seen_spans;
mod settlements;
#[cfg(feature = "opentelemetry")]
#[path = "../spans/processes.rs"]
mod span_processes;
mod spans;
mod spawned;
#[path = "../spawned/mod.rs"]
mod spawned_rows;
mod startup;
mod support;
mod throughput;
#[path = "../throughput/mod.rs"]
mod throughput_loop;
mod tls;
mod unroutable;
mod values;
#[path = "../waiting/mod.rs"]
mod waiting;
