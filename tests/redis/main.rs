//! Redis, with servers of the tests' own: `cargo test -p aury-events-tests --test redis -- --ignored`.

mod backends;
#[path = "../brokers/mod.rs"]
mod brokers;
mod cluster;
mod dead_letter_bounds;
mod dead_letters;
mod deleted;
mod dropped;
#[path = "../dropping/mod.rs"]
mod dropping;
mod failover;
mod foreign;
mod full_memory;
mod interruptions;
mod names;
#[path = "../values/mod.rs"]
mod odd_values;
#[path = "../panicking/mod.rs"]
mod panicking;
mod panics;
mod policies;
mod pubsub;
mod pulse;
#[path = "../policies/mod.rs"]
mod rows;
#[path = "../runtimes/mod.rs"]
mod runtimes;
mod scopes;
#[path = "../spans/mod.rs"]
mod seen_spans;
mod sentinel;
mod server;
mod settlements;
#[cfg(feature = "opentelemetry")]
#[path = "../spans/processes.rs"]
mod span_processes;
mod spans;
#[path = "../spawned/mod.rs"]
mod spawned;
mod spawning;
mod streams;
mod support;
mod throughput;
#[path = "../throughput/mod.rs"]
mod throughput_loop;
mod tls;
mod values;
mod visible;
#[path = "../waiting/mod.rs"]
mod waiting;
