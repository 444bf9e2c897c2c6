//! What could not be handled, as far as memory allows.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::delivery::DeadLetter;

/// How many dead letters a bus keeps.
const CAPACITY: usize = 1024;

/// The latest dead letters of a bus; the oldest is pushed out by one too many, with a warning.
#[derive(Debug, Default)]
pub(super) struct Ring(Mutex<VecDeque<DeadLetter>>);

impl Ring {
    fn letters(&self) -> MutexGuard<'_, VecDeque<DeadLetter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, letter: DeadLetter) {
        let mut letters = self.letters();
        let pushed_out = if letters.len() == CAPACITY { letters.pop_front() } else { None };
        letters.push_back(letter);
        drop(letters);
        if let Some(lost) = pushed_out {
            tracing::warn!(
                event = %lost.envelope.metadata().name(),
                event_id = %lost.envelope.metadata().id(),
                subscriber = %lost.subscriber,
                "more than {CAPACITY} dead letters: the oldest is dropped"
            );
        }
    }

    /// All that are kept, the oldest first.
    pub(super) fn list(&self) -> Vec<DeadLetter> {
        self.letters().iter().cloned().collect()
    }
}
