//! The suspects that a process holds, handed out in rounds.
//!
//! A round begins when nothing else is with a handler, and nothing else is handed out until all of it is settled. So what
//! happens then was the doing of one of its suspects.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Next, Waiting};

/// The suspects of one subscriber in this process.
#[derive(Default)]
pub(super) struct Rounds {
    /// In no round yet.
    waiting: VecDeque<Waiting>,
    /// Whether a round is being put on record, of the first of those.
    is_beginning: bool,
    /// In the round, and not with a handler: new to it, or waiting for another attempt.
    begun: Vec<Waiting>,
    /// How many are with handlers. Those of a channel that was lost are among them.
    out: usize,
}

impl Rounds {
    /// Adds a suspect. One that waits for another attempt is on record.
    pub(super) fn add(&mut self, waiting: Waiting) {
        if waiting.due.is_some() {
            self.begun.push(waiting);
        } else {
            self.waiting.push_back(waiting);
        }
    }

    /// What a consumer is to do next, while `others` are with handlers. `None` when there are no suspects.
    pub(super) fn next(&mut self, others: usize) -> Option<Next> {
        let now = Instant::now();
        let ready = self.begun.iter().position(|it| it.due.is_none_or(|due| due <= now));
        if let Some(ready) = ready {
            self.out += 1;
            return Some(Next::Delivery(self.begun.remove(ready)));
        }
        if self.is_idle() {
            return None;
        }
        if self.is_in_round() || self.is_beginning || others > 0 {
            return Some(Next::Nothing);
        }
        self.is_beginning = true;
        Some(Next::Begin)
    }

    /// The suspects that may begin a round: their numbers on their channel, in order.
    pub(super) fn beginning(&self) -> Option<Vec<u64>> {
        self.is_beginning.then(|| self.waiting.iter().map(|it| it.tag).collect())
    }

    /// Begins a round of those that are on record.
    pub(super) fn begin(&mut self, tags: &[u64]) {
        if std::mem::take(&mut self.is_beginning) {
            let (begun, waiting) = std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|waiting| tags.contains(&waiting.tag));
            self.waiting = waiting;
            self.begun.extend::<VecDeque<_>>(begun);
        }
    }

    /// Takes out a suspect that must not begin.
    pub(super) fn condemn(&mut self, tag: u64) -> Option<Waiting> {
        if !std::mem::take(&mut self.is_beginning) {
            return None;
        }
        let at = self.waiting.iter().position(|waiting| waiting.tag == tag)?;
        self.waiting.remove(at)
    }

    /// A handler is done with one.
    pub(super) fn handed_in(&mut self) {
        self.out = self.out.saturating_sub(1);
    }

    /// When the next of the round is due that waits for it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.begun.iter().filter_map(|it| it.due).min()
    }

    /// Takes out all that are not with handlers.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Waiting> {
        self.is_beginning = false;
        std::mem::take(&mut self.waiting).into_iter().chain(std::mem::take(&mut self.begun))
    }

    /// How many are with handlers.
    pub(super) fn out(&self) -> usize {
        self.out
    }

    fn is_in_round(&self) -> bool {
        self.out > 0 || !self.begun.is_empty()
    }

    /// Whether there are none, here and with handlers.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_in_round() && self.waiting.is_empty()
    }
}
