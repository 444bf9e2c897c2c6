//! What is to be delivered, but not yet.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// As long as any wait: thirty years, as far as a clock is sure to reach.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The time at which a wait ends that begins now.
pub(crate) fn due_after(wait: Duration) -> Instant {
    Instant::now() + wait.min(LONGEST)
}

/// The longest wait before a retry that a backend whose broker can hold messages back spends in the process. A longer
/// one is spent on the broker, so that it holds no slot and outlives the process.
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
pub(crate) const IN_PLACE: Duration = Duration::from_secs(1);

/// Entries that wait for their time.
pub(crate) struct Delayed<T> {
    waiting: BinaryHeap<Reverse<Due<T>>>,
    added: u64,
}

impl<T> Default for Delayed<T> {
    fn default() -> Self {
        Self { waiting: BinaryHeap::new(), added: 0 }
    }
}

/// An entry and its time; of two with one time, the earlier added comes first.
struct Due<T> {
    at: (Instant, u64),
    entry: T,
}

impl<T> Delayed<T> {
    pub(crate) fn add(&mut self, at: Instant, entry: T) {
        self.added += 1;
        self.waiting.push(Reverse(Due { at: (at, self.added), entry }));
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The entry whose time came first, if any has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.waiting.pop().map(|Reverse(due)| due.entry)
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(due)| due.at.0)
    }

    /// Takes out all, whatever their times.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        std::mem::take(&mut self.waiting).into_iter().map(|Reverse(due)| due.entry)
    }

    /// Takes out those for which `take` is true.
    pub(crate) fn extract(&mut self, mut take: impl FnMut(&T) -> bool) -> Vec<T> {
        let waiting = std::mem::take(&mut self.waiting);
        let (taken, left): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|Reverse(due)| take(&due.entry));
        self.waiting = left.into();
        taken.into_iter().map(|Reverse(due)| due.entry).collect()
    }

    pub(crate) fn clear(&mut self) -> usize {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.len()
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// The consumer's clock: wakes it when the next entry is due.
#[derive(Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Has the task woken at that time.
    pub(crate) fn set(&mut self, at: Instant, cx: &mut Context<'_>) {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        if sleep.as_mut().poll(cx) == Poll::Ready(()) {
            // Its time has come since the caller looked.
            cx.waker().wake_by_ref();
        }
    }
}
