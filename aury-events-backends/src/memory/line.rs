//! The line in which publishers wait for a place in a queue.

use std::{collections::VecDeque, task::Waker};

/// Publishers that wait, served in the order in which they came.
#[derive(Default)]
pub(super) struct Line {
    /// Without a waker is one that has been woken and has not come back yet.
    waiting: VecDeque<(Ticket, Option<Waker>)>,
    issued: u64,
}

/// Somebody's standing in the line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Line {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether it is the turn of this one: of the first in the line, or of anybody if there is none.
    pub(super) fn is_turn_of(&self, ticket: Option<Ticket>) -> bool {
        match self.waiting.front() {
            Some((first, _)) => ticket == Some(*first),
            None => true,
        }
    }

    /// Takes a standing at the end of the line, or keeps the one that there is. `waker` is woken when it is its turn.
    pub(super) fn stand(&mut self, ticket: Option<Ticket>, waker: &Waker) -> Ticket {
        if let Some((ticket, known)) = self.waiting.iter_mut().find(|(it, _)| Some(*it) == ticket) {
            *known = Some(waker.clone());
            return *ticket;
        }
        self.issued += 1;
        let ticket = Ticket(self.issued);
        self.waiting.push_back((ticket, Some(waker.clone())));
        ticket
    }

    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.waiting.retain(|(it, _)| *it != ticket);
    }

    /// Who is to be woken when a place is free: the first, unless it has been woken before.
    #[inline]
    pub(super) fn call(&mut self) -> Option<Waker> {
        self.waiting.front_mut()?.1.take()
    }

    /// Everybody leaves; who is to be told.
    pub(super) fn dissolve(&mut self) -> Vec<Waker> {
        self.waiting.drain(..).filter_map(|(_, waker)| waker).collect()
    }
}
