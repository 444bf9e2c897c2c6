//! Which queues an event goes to.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use super::queue::Queue;
use crate::envelope::{EventName, Topic};

/// The subscriptions of a bus, and the queues that the events seen so far go to.
#[derive(Debug, Default)]
pub(super) struct Routes {
    subscriptions: Vec<(Topic, Arc<Queue>)>,
    resolved: HashMap<NameKey, Arc<[Arc<Queue>]>, BuildHasherDefault<NameHasher>>,
    /// Whether it is remembered that an event goes nowhere. Else that is found out, and said, each time.
    remembers_none: bool,
    intake: Intake,
}

/// A name of the program text, told apart by its place in memory, which is faster to look up than its letters. Two
/// copies of one name are two entries.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NameKey(usize, usize);

impl NameKey {
    #[inline]
    fn of(name: &'static str) -> Self {
        Self(name.as_ptr().addr(), name.len())
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Intake {
    #[default]
    Open,
    /// What handlers publish is still taken.
    Draining,
    Closed,
}

impl Routes {
    pub(super) fn new(remembers_none: bool) -> Self {
        Self { remembers_none, ..Self::default() }
    }

    /// Whether events are taken wherever they come from.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.intake == Intake::Open
    }

    pub(super) fn is_closed(&self) -> bool {
        self.intake == Intake::Closed
    }

    /// The queues that events of this name go to, if that has been worked out.
    #[inline]
    pub(super) fn resolved(&self, name: &EventName) -> Option<&[Arc<Queue>]> {
        self.resolved.get(&NameKey::of(name.as_static()?)).map(|queues| &**queues)
    }

    /// Works out which queues events of this name go to. A name of the program text is remembered: there are as many as
    /// there are event types.
    pub(super) fn resolve(&mut self, name: &EventName) -> Arc<[Arc<Queue>]> {
        let topics = self.subscriptions.iter().filter(|(topic, _)| topic.matches(name));
        let queues: Arc<[_]> = topics.map(|(_, queue)| Arc::clone(queue)).collect();
        if let Some(name) = name.as_static().filter(|_| self.remembers_none || !queues.is_empty()) {
            self.resolved.insert(NameKey::of(name), Arc::clone(&queues));
        }
        queues
    }

    /// Adds a subscription, and lets go of those whose subscribers have left.
    pub(super) fn add(&mut self, topic: Topic, queue: Arc<Queue>) {
        self.subscriptions.retain(|(_, queue)| !queue.is_closed());
        self.subscriptions.push((topic, queue));
        self.resolved.clear();
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.subscriptions.iter().map(|(_, queue)| queue).filter(|queue| !queue.is_closed())
    }

    pub(super) fn drain(&mut self) {
        if self.intake == Intake::Open {
            self.intake = Intake::Draining;
        }
    }

    /// Takes nothing any more; gives the queues to be closed.
    pub(super) fn close(&mut self) -> Vec<Arc<Queue>> {
        self.intake = Intake::Closed;
        self.resolved.clear();
        self.subscriptions.drain(..).map(|(_, queue)| queue).collect()
    }
}

/// Hashes addresses and lengths: a multiplication each (the scheme of FxHash).
#[derive(Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_usize(byte.into()));
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        const FACTOR: u64 = 0x51_7c_c1_b7_27_22_0a_95;
        self.0 = (self.0.rotate_left(5) ^ number as u64).wrapping_mul(FACTOR);
    }

    #[inline]
    fn finish(&self) -> u64 {
        // The table takes its buckets from the low bits, which a multiplication leaves poor.
        self.0.rotate_left(26)
    }
}
