//! What a process knows of messages when they are delivered to it again.
//!
//! A channel that is lost takes all unsettled deliveries along; the broker delivers them again, to this process or to
//! another one. What comes back here was in good hands all the time: it is no suspect, it keeps its attempts, and what a
//! handler is still busy with is not handed out a second time.

use std::collections::{HashMap, HashSet, VecDeque};

use tokio::time::Instant;

use super::Waiting;
use crate::rabbitmq::{acks::Key, session::Lane};

/// How many messages that were settled are remembered, in case that their acknowledgements are lost.
const REMEMBERED: usize = 8192;

/// The deliveries of lost channels, and the latest messages that were settled.
#[derive(Default)]
pub(super) struct Outlived {
    lost: HashMap<Key, Lost>,
    /// Counts the losses.
    generation: u32,
    settled: Settled,
}

/// A delivery whose channel was lost.
pub(super) struct Lost {
    /// The attempt that it was or, if it had failed already, that comes next.
    pub(super) attempt: u32,
    /// When that attempt is due, of one that waits in place.
    pub(super) due: Option<Instant>,
    /// Whether a handler, or a move, is still busy with it.
    pub(super) is_busy: bool,
    /// The same message, delivered again meanwhile.
    pub(super) again: Option<Waiting>,
    generation: u32,
}

/// What is known of a message that comes again.
pub(super) enum Known {
    /// It was settled here; only its acknowledgement was lost.
    Settled,
    /// Somebody here is still busy with it; it is kept until then.
    Busy,
    /// It waited here, with its attempt and the time at which that is due.
    Waited(u32, Option<Instant>),
    Unknown,
}

impl Outlived {
    /// Begins to take note of what one more channel held. What was held before the last loss and never came back is
    /// with another process.
    pub(super) fn begin_loss(&mut self) {
        let last = self.generation;
        self.lost.retain(|_, lost| lost.is_busy || lost.generation == last);
        self.generation += 1;
    }

    /// Takes note of a delivery that waited here.
    pub(super) fn waited(&mut self, waiting: Waiting) {
        let Waiting { key, attempt, due, .. } = waiting;
        if let Some(key) = key {
            let generation = self.generation;
            let lost = Lost { attempt, due, is_busy: false, again: None, generation };
            self.lost.insert(key, lost);
        }
    }

    /// Takes note of a delivery that a handler has given back.
    pub(super) fn returned(&mut self, key: Key, attempt: u32) {
        if self.lost.len() < REMEMBERED {
            let generation = self.generation;
            let lost = Lost { attempt, due: None, is_busy: false, again: None, generation };
            self.lost.insert(key, lost);
        }
    }

    /// Takes note of a delivery that somebody is busy with, unless it is noted already.
    pub(super) fn busy(&mut self, key: Key) {
        let generation = self.generation;
        self.lost.entry(key).or_insert(Lost {
            attempt: 1,
            due: None,
            is_busy: true,
            again: None,
            generation,
        });
    }

    /// The copies that came again, to be looked through.
    pub(super) fn again(&mut self) -> impl Iterator<Item = &mut Option<Waiting>> {
        self.lost.values_mut().map(|lost| &mut lost.again)
    }

    /// What is known of a message that comes again.
    pub(super) fn recognise(&mut self, key: &Key, lane: Lane) -> Known {
        let was_moved = || lane == Lane::Main && self.settled.keys.contains(&key.as_suspect());
        if self.settled.keys.contains(key) || was_moved() {
            return Known::Settled;
        }
        match self.lost.get(key) {
            Some(Lost { is_busy: true, .. }) => Known::Busy,
            Some(_) => {
                let lost = self.lost.remove(key).expect("it is there");
                Known::Waited(lost.attempt, lost.due)
            }
            None => Known::Unknown,
        }
    }

    /// Keeps a message until whoever is busy with it is done. Gives back one that was kept before.
    pub(super) fn keep(&mut self, key: &Key, again: Waiting) -> Option<Waiting> {
        let lost = self.lost.get_mut(key).expect("somebody is busy with it");
        lost.again.replace(again)
    }

    /// Whether a message is here once more while somebody is busy with it.
    pub(super) fn has_again(&self, key: &Key) -> bool {
        self.lost.get(key).is_some_and(|lost| lost.again.is_some())
    }

    /// Takes note that nobody is busy with a delivery any more.
    pub(super) fn done(&mut self, key: &Key) -> Option<Lost> {
        if self.lost.is_empty() {
            return None;
        }
        self.lost.remove(key)
    }

    /// Remembers a message that was settled.
    pub(super) fn settled(&mut self, key: Key) {
        self.settled.add(key);
    }
}

/// The latest messages that were settled.
#[derive(Default)]
struct Settled {
    keys: HashSet<Key>,
    order: VecDeque<Key>,
}

impl Settled {
    fn add(&mut self, key: Key) {
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        if self.keys.insert(key.clone()) {
            self.order.push_back(key);
        }
    }
}
