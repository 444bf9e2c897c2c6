//! Whole programs on the memory backend, each module one subject.

mod any_event;
mod backpressure;
mod batches;
mod buses;
mod chains;
mod circuit_breakers;
mod conditions;
mod dead_letters;
mod delays;
mod dropped;
#[path = "../dropping/mod.rs"]
mod dropping;
mod dynamic;
mod errors;
mod failures;
mod fan_out;
mod idempotent;
mod keys;
mod load;
mod metadata;
mod middleware;
mod nobody_listens;
#[path = "../values/mod.rs"]
mod odd_values;
mod oracle;
#[path = "../panicking/mod.rs"]
mod panicking;
mod panics;
mod parameters;
mod policies;
mod process;
mod publishing;
mod raw;
mod receipts;
#[path = "../runtimes/mod.rs"]
mod runtimes;
#[path = "../spans/mod.rs"]
mod seen_spans;
mod shutdown;
mod spans;
#[path = "../spawned/mod.rs"]
mod spawned;
mod spawning;
mod startup;
mod structure;
mod support;
mod third_party;
mod values;
