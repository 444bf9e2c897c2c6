//! What the server is to be told of deliveries that handlers are done with.

use std::{
    collections::VecDeque,
    mem,
    ops::{Deref, DerefMut},
    sync::Mutex,
    time::Duration,
};

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
    /// How long it waited after the server had refused it last.
    pub(crate) waited: Option<Duration>,
}

impl PutAway {
    pub(crate) fn new(tag: u64, kind: Kept) -> Self {
        Self { tag, kind, stored: None, waited: None }
    }
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
    pub(crate) fn take(&self) -> InHand<'_, T> {
        InHand { from: self, orders: mem::take(&mut *lock(&self.queue)).into() }
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

/// Orders that are being carried out. What is left of them when this is dropped, as by a panic, is to be carried out again.
#[derive(Debug)]
pub(crate) struct InHand<'a, T> {
    from: &'a Orders<T>,
    orders: VecDeque<T>,
}

impl<T> Deref for InHand<'_, T> {
    type Target = VecDeque<T>;

    fn deref(&self) -> &VecDeque<T> {
        &self.orders
    }
}

impl<T> DerefMut for InHand<'_, T> {
    fn deref_mut(&mut self) -> &mut VecDeque<T> {
        &mut self.orders
    }
}

impl<T> Drop for InHand<'_, T> {
    fn drop(&mut self) {
        if self.orders.is_empty() {
            return;
        }
        let mut queue = lock(&self.from.queue);
        let later = mem::take(&mut *queue);
        *queue = mem::take(&mut self.orders).into_iter().chain(later).collect();
        drop(queue);
        self.from.wake();
    }
}
