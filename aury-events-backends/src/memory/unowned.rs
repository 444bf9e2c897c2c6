//! What tasks publish that no handler owns, while the bus drains.
//!
//! It is handled after everything else, and keeps nobody waiting: neither it nor another attempt at it keeps the bus open
//! for more of its kind.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::Instant;

use super::queue::{Entry, Queue};
use crate::{
    delivery::{Delivery, Settle, Settlement},
    error::BackendError,
    in_flight::{Tally, Unowned},
    kit::{Delayed, due_after},
    maybe_ready::MaybeReady,
};

/// The entries of one queue that no handler owns.
#[derive(Default)]
pub(super) struct UnownedEntries {
    ready: VecDeque<UnownedEntry>,
    /// Those that wait for another attempt.
    delayed: Delayed<UnownedEntry>,
}

struct UnownedEntry {
    entry: Entry,
    mark: Arc<Unowned>,
}

impl UnownedEntries {
    /// Adds a new one, and counts it in.
    pub(super) fn accept(&mut self, entry: Entry, tally: &Tally) {
        let mark = Arc::new(tally.unowned());
        tally.accept();
        self.ready.push_back(UnownedEntry { entry, mark });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.delayed.is_empty()
    }

    /// The next one, and what settles it.
    pub(super) fn pop(&mut self, queue: &Arc<Queue>) -> Option<(Entry, Arc<dyn Settle>)> {
        let back = if self.delayed.is_empty() { None } else { self.delayed.pop(Instant::now()) };
        let UnownedEntry { entry, mark } = back.or_else(|| self.ready.pop_front())?;
        Some((entry, Arc::new(SettleUnowned { queue: Arc::clone(queue), mark })))
    }

    /// When the next one that waits is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.delayed.next()
    }

    /// Drops all. Gives how many there were.
    pub(super) fn clear(&mut self) -> usize {
        let ready = std::mem::take(&mut self.ready);
        ready.len() + self.delayed.clear()
    }
}

/// Settles a delivery that no handler owns.
struct SettleUnowned {
    queue: Arc<Queue>,
    mark: Arc<Unowned>,
}

impl SettleUnowned {
    fn entry(&self, entry: Entry) -> UnownedEntry {
        UnownedEntry { entry, mark: Arc::clone(&self.mark) }
    }
}

impl Settle for SettleUnowned {
    fn settle(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> MaybeReady<'static, Result<(), BackendError>> {
        let Settlement::Retry { after } = settlement else {
            return self.queue.settle(delivery, settlement);
        };
        let due = due_after(after);
        self.queue.redeliver(delivery, |state, entry| {
            state.unowned.delayed.add(due, self.entry(entry));
        });
        MaybeReady::ready(Ok(()))
    }

    fn give_back(&self, delivery: &Delivery) {
        self.queue.redeliver(delivery, |state, entry| {
            state.unowned.ready.push_front(self.entry(entry));
        });
    }

    fn leave(&self, _: &Delivery) {
        self.queue.leave();
    }
}
