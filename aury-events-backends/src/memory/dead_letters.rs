//! What could not be handled, as far as memory allows.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use super::queue::Queue;
use crate::{
    dead_letters::{DeadLetter, DeadLetterReader, DeadLetterStore},
    error::BackendError,
    kit::lock,
    maybe_ready::BoxFuture,
};

/// How many dead letters a bus keeps.
const CAPACITY: usize = 1024;

/// How many are read at a time.
const PAGE: usize = 256;

/// The latest dead letters of a bus; the oldest is pushed out by one too many, with a warning.
#[derive(Debug, Default)]
pub(super) struct Ring(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By ascending number.
    letters: VecDeque<(u64, DeadLetter)>,
    /// The number of the next letter.
    next: u64,
    dropped: u64,
    /// The latest queue of each subscriber, to replay to.
    queues: HashMap<Arc<str>, Weak<Queue>>,
}

impl Ring {
    fn state(&self) -> MutexGuard<'_, State> {
        // No step leaves the state half changed.
        lock(&self.0)
    }

    /// Takes note of where letters of a subscriber are replayed to.
    pub(super) fn add_queue(&self, queue: &Arc<Queue>) {
        let mut state = self.state();
        state.queues.retain(|_, queue| queue.strong_count() > 0);
        state.queues.insert(Arc::clone(queue.subscriber()), Arc::downgrade(queue));
    }

    pub(super) fn push(&self, letter: DeadLetter) {
        let mut state = self.state();
        let is_full = state.letters.len() == CAPACITY;
        let pushed_out = if is_full { state.letters.pop_front() } else { None };
        state.dropped += u64::from(is_full);
        let number = state.next;
        state.next += 1;
        state.letters.push_back((number, letter));
        drop(state);
        if let Some((_, lost)) = pushed_out {
            tracing::warn!(
                event = %lost.envelope.metadata().name(),
                event_id = %lost.envelope.metadata().id(),
                subscriber = %lost.subscriber,
                "more than {CAPACITY} dead letters: the oldest is dropped"
            );
        }
    }

    /// How many letters have been pushed out.
    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Reads the letters of these subscribers that are here now.
    pub(super) fn read(self: &Arc<Self>, subscribers: &[Arc<str>]) -> Reader {
        let end = self.state().next;
        Reader { ring: Arc::clone(self), subscribers: subscribers.into(), next: 0, end }
    }

    /// Hands a letter's event over to its subscriber, and removes it; in one step for everybody else.
    fn replay(&self, token: &str) -> Result<bool, BackendError> {
        let mut state = self.state();
        let Some(at) = state.position(token) else { return Ok(false) };
        let (_, letter) = &state.letters[at];
        let queue = state.queues.get(&letter.subscriber).and_then(Weak::upgrade);
        if !queue.is_some_and(|queue| queue.add_replayed(letter.envelope.clone())) {
            return Err(BackendError::not_subscribed(Arc::clone(&letter.subscriber)));
        }
        state.letters.remove(at);
        Ok(true)
    }

    fn purge(&self, token: &str) -> bool {
        let mut state = self.state();
        let removed = state.position(token).and_then(|at| state.letters.remove(at));
        drop(state);
        removed.is_some()
    }
}

impl State {
    /// Where the letter of that token is, if it is still here.
    fn position(&self, token: &str) -> Option<usize> {
        let number: u64 = token.parse().ok()?;
        self.letters.binary_search_by_key(&number, |(number, _)| *number).ok()
    }
}

impl DeadLetterStore for Ring {
    fn replay(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        Box::pin(std::future::ready(self.replay(letter.token())))
    }

    fn purge(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        Box::pin(std::future::ready(Ok(self.purge(letter.token()))))
    }
}

/// Reads the letters that were in a [`Ring`] when it was opened.
pub(super) struct Reader {
    ring: Arc<Ring>,
    subscribers: Box<[Arc<str>]>,
    /// The numbers that are still to be read.
    next: u64,
    end: u64,
}

impl Reader {
    fn page(&mut self) -> Vec<DeadLetter> {
        let state = self.ring.state();
        let start = state.letters.partition_point(|(number, _)| *number < self.next);
        let left = state.letters.range(start..).take_while(|(number, _)| *number < self.end);
        let mine = left.filter(|(_, letter)| self.subscribers.contains(&letter.subscriber));
        let page: Vec<_> = mine.take(PAGE).cloned().collect();
        drop(state);
        self.next = page.last().map_or(self.end, |(number, _)| number + 1);
        let store = |number: u64, letter: DeadLetter| {
            letter.kept_as(number.to_string(), Arc::clone(&self.ring) as _)
        };
        page.into_iter().map(|(number, letter)| store(number, letter)).collect()
    }
}

impl DeadLetterReader for Reader {
    fn next_page(&mut self) -> BoxFuture<'_, Result<Vec<DeadLetter>, BackendError>> {
        Box::pin(std::future::ready(Ok(self.page())))
    }
}
