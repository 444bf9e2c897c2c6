//! Which queues an event goes to.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use super::queue::Queue;
use crate::{
    backend::Origin,
    envelope::{EventName, Topic},
};

/// The subscriptions of a bus, and for each event name seen so far the queues that it goes to.
#[derive(Debug, Default)]
pub(super) struct Routes {
    subscriptions: Vec<(Topic, Arc<Queue>)>,
    resolved: HashMap<EventName, Vec<Arc<Queue>>, BuildHasherDefault<NameHasher>>,
    intake: Intake,
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
    /// Whether events from there are taken now.
    pub(super) fn takes(&self, origin: Origin) -> bool {
        match self.intake {
            Intake::Open => true,
            Intake::Draining => origin == Origin::Handler,
            Intake::Closed => false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.intake == Intake::Closed
    }

    /// The queues that events of this name go to, if that has been worked out.
    pub(super) fn resolved(&self, name: &EventName) -> Option<&[Arc<Queue>]> {
        self.resolved.get(name).map(Vec::as_slice)
    }

    /// Works out which queues events of this name go to. Names come from types, so they are few.
    pub(super) fn resolve(&mut self, name: &EventName) {
        let topics = self.subscriptions.iter().filter(|(topic, _)| topic.matches(name));
        let queues = topics.map(|(_, queue)| Arc::clone(queue)).collect();
        self.resolved.insert(name.clone(), queues);
    }

    pub(super) fn add(&mut self, topic: Topic, queue: Arc<Queue>) {
        self.forget_cancelled();
        self.subscriptions.push((topic, queue));
        self.resolved.clear();
    }

    /// Lets go of queues whose subscribers have left.
    fn forget_cancelled(&mut self) {
        self.subscriptions.retain(|(_, queue)| !queue.is_closed());
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

/// Hashes short names that the program itself chose: a multiplication per eight bytes (the scheme of FxHash).
#[derive(Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        const FACTOR: u64 = 0x51_7c_c1_b7_27_22_0a_95;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.0 ^= u64::from(byte);
    }

    fn finish(&self) -> u64 {
        // The table takes its buckets from the low bits and its tags from the high ones; multiplication leaves the low
        // ones poor.
        self.0.rotate_left(26)
    }
}
