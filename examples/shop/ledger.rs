//! Where subscribers keep what they did.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// The state of one life cycle, kept for the time that the process runs.
///
/// Its subscribers run at the same time, and each writes fields of its own: what they come to does not depend on who
/// was faster. An application with more than counts to keep has it in a database, and gives its subscribers the pool as
/// `State`.
pub(crate) struct Ledger<T>(LazyLock<Mutex<T>>);

impl<T: Default> Ledger<T> {
    pub(crate) const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    pub(crate) fn open(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
