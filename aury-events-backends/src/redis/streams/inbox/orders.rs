//! What the server is to be told of deliveries that handlers are done with.

use std::{sync::Mutex, time::Duration};

use tokio::sync::{Notify, oneshot};

use super::DeliveryCount;
use crate::{
    dead_letters::DeadLetter, envelope::Envelope, kit::lock, redis::dead_letters::Undecodable,
};

/// Something to tell the server, about the entry that is held under a tag.
#[derive(Debug)]
pub(crate) enum Tell {
    /// It is done with.
    Ack { tag: u64 },
    /// It is handed out here again: so often will it have been delivered then.
    Count { tag: u64, count: DeliveryCount },
}

/// An event to be stored elsewhere, while the entry that is held under a tag is acknowledged.
#[derive(Debug)]
pub(crate) struct PutAway {
    pub(crate) tag: u64,
    pub(crate) kind: Kept,
    /// Told when it is stored, or when the server has refused that: then it is tried again, and the entry stays.
    pub(crate) stored: Option<oneshot::Sender<()>>,
}

/// As what an event is stored.
#[derive(Debug)]
pub(crate) enum Kept {
    /// It is to be delivered again, not before that time has passed.
    Delayed { envelope: Envelope, attempt: u32, after: Duration },
    /// It could not be handled.
    DeadLetter(Box<DeadLetter>),
    /// It is no event.
    Broken(Box<Undecodable>),
}

impl Kept {
    /// What it is called in a log line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Delayed { .. } => "a retry",
            Self::DeadLetter(_) | Self::Broken(_) => "a dead letter",
        }
    }
}

/// Orders in the order in which they came. As many as entries are held, so they need no bound of their own.
#[derive(Debug)]
pub(crate) struct Orders<T> {
    queue: Mutex<Vec<T>>,
    added: Notify,
}

impl<T> Default for Orders<T> {
    fn default() -> Self {
        Self { queue: Mutex::default(), added: Notify::new() }
    }
}

impl<T> Orders<T> {
    pub(crate) fn add(&self, order: T) {
        let mut queue = lock(&self.queue);
        let was_empty = queue.is_empty();
        queue.push(order);
        drop(queue);
        // Who takes them takes all.
        if was_empty {
            self.added.notify_one();
        }
    }

    /// All there are.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *lock(&self.queue))
    }

    /// Wakes who waits, to look whether there will be any more.
    pub(crate) fn wake(&self) {
        self.added.notify_one();
    }

    /// Waits until there may be some. Cancel safe; for one task.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }
}
