//! The suite that every backend passes: what the [`Backend`](crate::Backend) trait means, as tests.
//!
//! A crate that brings a backend implements [`Subject`], which says how to connect, and has one test per check, each
//! under its own name:
//!
//! ```
//! use std::sync::Arc;
//!
//! use aury_events_backends::{Backend, BackendError, conformance::Subject, registry::Connect};
//! # use aury_events_backends::memory::MemoryBackend;
//!
//! struct Nats;
//!
//! impl Subject for Nats {
//!     async fn connect(&self, process: Connect) -> Result<Arc<dyn Backend>, BackendError> {
//!         // … connect as `process` says; its `bus` is the check's own.
//! #       Ok(Arc::new(MemoryBackend::new(&process.config)))
//!     }
//! }
//!
//! aury_events_backends::conformance_tests!(Nats);
//! ```
//!
//! What a backend does not promise ([`Capabilities`](crate::Capabilities)) is not asked of it: such a check passes and
//! says on standard error why it does not apply (`cargo test -- --nocapture`). A subject that can also break its server
//! ([`Subject::inflict`]) is tested through outages.
//!
//! The checks, by file: `delivery`, `order`, `sharing`, `takeover`, `failures`, `dead_letters`, `delays`, `payloads`,
//! `metadata`, `patterns`, `isolation`, `ending` and `outages`. What must hold of many events at once is judged by one oracle, the [`Ledger`].
#![expect(clippy::print_stderr, reason = "a check that does not apply says so to whoever runs it")]

#[macro_use]
mod macros;

mod dead_letters;
mod delays;
mod delivery;
mod ending;
mod failures;
mod isolation;
mod ledger;
mod metadata;
mod order;
mod outages;
mod patterns;
mod payloads;
mod process;
mod sharing;
mod subject;
mod subscriber;
mod takeover;
#[cfg(test)]
mod tests;
mod trial;
mod wait;

use std::{fmt, sync::Arc, time::Duration};

pub use self::{
    ledger::{Balance, Ledger},
    subject::{Fault, Subject, Unsupported},
    wait::until,
};
use self::{subject::AnySubject, trial::Trial};
use crate::maybe_ready::BoxFuture;

/// How long a check may take before it fails, so that a deadlock does not hang the suite.
const CHECK_LIMIT: Duration = Duration::from_secs(120);

/// One statement about backends.
#[derive(Clone, Copy)]
struct Check {
    name: &'static str,
    run: for<'a> fn(&'a Trial) -> BoxFuture<'a, Result<(), Unsupported>>,
}

macro_rules! table {
    ($($module:ident { $($check:ident)* })*) => {
        &[$($(Check {
            name: concat!(stringify!($module), "::", stringify!($check)),
            run: |trial| Box::pin($module::$check(trial)),
        },)*)*]
    };
}

const CHECKS: &[Check] = __conformance_checks!([table]);

/// What a check found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The name of the check, as in `order::events_of_one_publisher_arrive_in_order`.
    pub check: &'static str,
    /// Whether the backend passed.
    pub verdict: Verdict,
}

/// Whether a backend passed a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Passed,
    /// It does not promise what is checked, or the subject cannot bring it about.
    NotApplicable(Unsupported),
    /// It did not, with what went wrong.
    Failed(String),
}

/// Runs all checks on one subject, one after the other; faults included, so its server should be its own.
pub async fn run_all(subject: impl Subject) -> Vec<Outcome> {
    let subject: Arc<dyn AnySubject> = Arc::new(subject);
    let mut outcomes = Vec::with_capacity(CHECKS.len());
    for check in CHECKS {
        let verdict = check.apply_to(Arc::clone(&subject)).await;
        outcomes.push(Outcome { check: check.name, verdict });
    }
    outcomes
}

/// The body of one test: see [`conformance_tests`](crate::conformance_tests).
///
/// # Panics
///
/// When the backend does not pass.
#[doc(hidden)]
pub fn run_one<S: Subject>(name: &str, subject: impl FnOnce() -> S) {
    let check = CHECKS.iter().find(|check| check.name == name).expect("the macro names checks");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let _context = runtime.enter();
    let subject = Arc::new(subject());
    match runtime.block_on(check.apply_to(subject)) {
        Verdict::Passed => {}
        Verdict::NotApplicable(why) => eprintln!("{name} does not apply: {why}"),
        Verdict::Failed(what) => panic!("{what}"),
    }
}

impl Check {
    async fn apply_to(self, subject: Arc<dyn AnySubject>) -> Verdict {
        let mut checking = tokio::spawn(async move {
            let trial = Trial::new(subject).await;
            (self.run)(&trial).await
        });
        match tokio::time::timeout(CHECK_LIMIT, &mut checking).await {
            Ok(Ok(Ok(()))) => Verdict::Passed,
            Ok(Ok(Err(why))) => Verdict::NotApplicable(why),
            Ok(Err(panicked)) => Verdict::Failed(message_of(panicked)),
            Err(_) => {
                checking.abort();
                Verdict::Failed(format!("not done after {CHECK_LIMIT:?}"))
            }
        }
    }
}

fn message_of(panicked: tokio::task::JoinError) -> String {
    let Ok(payload) = panicked.try_into_panic() else { return "cancelled".to_owned() };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().map_or("panicked", |text| text).to_owned(),
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
