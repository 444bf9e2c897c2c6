//! A shutdown that left something over.

use std::{error::Error as StdError, fmt, time::Duration};

use super::BackendFailure;

/// Shutting down took longer than it may: what was running has been aborted.
#[derive(Debug)]
pub struct ShutdownError {
    limit: Duration,
    left: Vec<(String, u64)>,
    delayed: u64,
    close: Vec<BackendFailure>,
    has_runtime_ended: bool,
}

impl ShutdownError {
    /// The runtime has ended before: nothing is left that could be shut down in order.
    pub(crate) fn runtime_ended(left: Vec<(String, u64)>) -> Self {
        let (limit, delayed, close) = (Duration::ZERO, 0, Vec::new());
        Self { limit, left, delayed, close, has_runtime_ended: true }
    }

    /// Whether the Tokio runtime that the buses were started on had ended before the shutdown.
    pub fn is_runtime_ended(&self) -> bool {
        self.has_runtime_ended
    }

    pub(crate) fn new(
        limit: Duration,
        left: Vec<(String, u64)>,
        delayed: u64,
        close: Vec<BackendFailure>,
    ) -> Result<(), Self> {
        let is_complete = left.is_empty() && delayed == 0 && close.is_empty();
        if is_complete {
            Ok(())
        } else {
            Err(Self { limit, left, delayed, close, has_runtime_ended: false })
        }
    }

    /// How many deliveries each subscriber had not finished, by its id. Where the runtime had ended, as far as that is known.
    pub fn left(&self) -> &[(String, u64)] {
        &self.left
    }

    /// How many events were lost since their delay had not passed: they waited in this process.
    pub fn delayed(&self) -> u64 {
        self.delayed
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_runtime_ended {
            f.write_str(
                "the Tokio runtime that the buses were started on has ended before the shutdown",
            )?;
            if !self.left.is_empty() {
                f.write_str("; what was not settled by then goes back to its broker, or is lost in `memory`:")?;
            }
            return self.left.iter().try_for_each(|(id, count)| write!(f, " {count} for `{id}`;"));
        }
        if !self.left.is_empty() {
            write!(f, "not everything was handled within {:?}; left over:", self.limit)?;
            for (subscriber, count) in &self.left {
                write!(f, " {count} for `{subscriber}`;")?;
            }
        }
        if self.delayed > 0 {
            let (count, limit) = (self.delayed, self.limit);
            write!(f, " {count} events are lost, whose delay had not passed within {limit:?};")?;
        }
        for failure in &self.close {
            write!(f, " {failure}: {}", failure.error())?;
        }
        Ok(())
    }
}

impl StdError for ShutdownError {}
