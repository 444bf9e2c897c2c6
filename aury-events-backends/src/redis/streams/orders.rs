//! What the server is to be told of deliveries that handlers are done with.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, oneshot};

use super::super::dead_letters::Undecodable;
use crate::{dead_letters::DeadLetter, envelope::Envelope};

/// Something to tell the server, about the entry that is held under a tag.
#[derive(Debug)]
pub(super) enum Tell {
    /// It is done with.
    Ack { tag: u64 },
    /// It is handed out here again: so often will it have been delivered then.
    Count { tag: u64, count: u32 },
}

/// An event to be stored elsewhere before the entry that is held under a tag is acknowledged.
#[derive(Debug)]
pub(super) struct PutAway {
    pub(super) tag: u64,
    pub(super) as_what: Kept,
    /// Told when it is stored.
    pub(super) stored: Option<oneshot::Sender<()>>,
}

/// As what an event is stored.
#[derive(Debug)]
pub(super) enum Kept {
    /// It is to be delivered again, not before that time has passed.
    Delayed { envelope: Envelope, attempt: u32, after: Duration },
    /// It could not be handled.
    DeadLetter(Box<DeadLetter>),
    /// It is no event.
    Broken(Box<Undecodable>),
}

/// Orders in the order in which they came. As many as entries are held, so they need no bound of their own.
#[derive(Debug)]
pub(super) struct Orders<T> {
    queue: Mutex<Vec<T>>,
    added: Notify,
}

impl<T> Default for Orders<T> {
    fn default() -> Self {
        Self { queue: Mutex::default(), added: Notify::new() }
    }
}

impl<T> Orders<T> {
    pub(super) fn add(&self, order: T) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        self.added.notify_one();
    }

    /// All there are.
    pub(super) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Wakes who waits, to look whether there will be any more.
    pub(super) fn wake(&self) {
        self.added.notify_one();
    }

    /// Waits until there may be some. Cancel safe; for one task.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }
}
