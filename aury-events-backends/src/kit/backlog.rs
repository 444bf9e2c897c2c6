//! What waits between the side that reads from a server and the consumer of one subscriber.

use std::{collections::VecDeque, sync::MutexGuard, task::Waker};

use tokio::time::Instant;

use super::Delayed;

/// Something under a lock at which a consumer waits to be woken.
pub trait Parked {
    /// Who is to be woken, if anybody waits.
    fn take_consumer(&mut self) -> Option<Waker>;
}

/// Lets go of a lock, and only then wakes the consumer that waits there, if one does.
#[inline]
pub fn wake<T: Parked>(mut guard: MutexGuard<'_, T>) {
    let consumer = guard.take_consumer();
    drop(guard);
    if let Some(consumer) = consumer {
        consumer.wake();
    }
}

/// What waits for one consumer: what is new, what was given back, and what is to be handed out at a later time. Under
/// its owner's lock.
///
/// It counts entries and bytes, and leaves it to its owner what happens when there are too many of them.
pub struct Backlog<T> {
    /// What was given back, and goes first.
    returned: VecDeque<Entry<T>>,
    new: VecDeque<Entry<T>>,
    delayed: Delayed<Entry<T>>,
    bytes: usize,
    /// The consumer, while it waits.
    consumer: Option<Waker>,
}

struct Entry<T> {
    entry: T,
    bytes: usize,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Self {
            returned: VecDeque::new(),
            new: VecDeque::new(),
            delayed: Delayed::default(),
            bytes: 0,
            consumer: None,
        }
    }
}

impl<T> Backlog<T> {
    /// Adds an entry of that size at the end.
    pub fn add(&mut self, entry: T, bytes: usize) {
        self.bytes += bytes;
        self.new.push_back(Entry { entry, bytes });
    }

    /// Puts an entry back before all others.
    pub fn put_back(&mut self, entry: T, bytes: usize) {
        self.bytes += bytes;
        self.returned.push_front(Entry { entry, bytes });
    }

    /// Adds an entry that is to be handed out from that time on, and then before what is new.
    pub fn add_at(&mut self, due: Instant, entry: T, bytes: usize) {
        self.bytes += bytes;
        self.delayed.add(due, Entry { entry, bytes });
    }

    /// Takes what is to be handed out next, if anything is.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_due().or_else(|| self.pop_ready())
    }

    /// Takes the delayed entry whose time came first, if any has come.
    pub fn pop_due(&mut self) -> Option<T> {
        let due = if self.delayed.is_empty() { None } else { self.delayed.pop(Instant::now()) };
        Some(self.release(due?))
    }

    /// Takes what waits for no time: what was given back, else the oldest of what is new.
    pub fn pop_ready(&mut self) -> Option<T> {
        let ready = self.returned.pop_front().or_else(|| self.new.pop_front());
        Some(self.release(ready?))
    }

    /// Whether something waits for no time.
    pub fn has_ready(&self) -> bool {
        !self.returned.is_empty() || !self.new.is_empty()
    }

    /// Takes out those delayed entries for which `take` is true.
    pub fn take_delayed(&mut self, mut take: impl FnMut(&T) -> bool) -> Vec<T> {
        let taken = self.delayed.extract(|it| take(&it.entry));
        taken.into_iter().map(|it| self.release(it)).collect()
    }

    /// Takes the oldest of what is new, to be dropped.
    pub fn pop_oldest_new(&mut self) -> Option<T> {
        let oldest = self.new.pop_front()?;
        Some(self.release(oldest))
    }

    fn release(&mut self, Entry { entry, bytes }: Entry<T>) -> T {
        self.bytes -= bytes;
        entry
    }

    /// How many entries wait, delayed ones included.
    pub fn len(&self) -> usize {
        self.returned.len() + self.new.len() + self.delayed.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something new waits.
    pub fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// How large all is that waits.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is within bounds. A single entry is, however large.
    pub fn is_within(&self, count: usize, bytes: usize) -> bool {
        self.len() <= count && (self.bytes <= bytes || self.len() <= 1)
    }

    /// When the next delayed entry is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.delayed.next()
    }

    /// Takes out everything, delayed entries last.
    pub fn take_all(&mut self) -> Vec<T> {
        self.bytes = 0;
        let ready = self.returned.drain(..).chain(self.new.drain(..));
        ready.chain(self.delayed.drain()).map(|it| it.entry).collect()
    }

    /// Takes note of who is to be woken when something is added.
    pub fn park(&mut self, consumer: &Waker) {
        self.consumer = Some(consumer.clone());
    }
}

impl<T> Parked for Backlog<T> {
    fn take_consumer(&mut self) -> Option<Waker> {
        self.consumer.take()
    }
}

impl<T> std::fmt::Debug for Backlog<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backlog")
            .field("entries", &self.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_due_goes_first_then_what_was_given_back_then_what_is_new() {
        let mut backlog = Backlog::default();
        backlog.add("new", 1);
        backlog.add("newer", 2);
        backlog.put_back("returned", 4);
        backlog.put_back("returned last", 8);
        backlog.add_at(Instant::now() + Duration::from_secs(1), "delayed", 16);
        assert_eq!((backlog.len(), backlog.bytes()), (5, 31));
        assert_eq!(backlog.pop(), Some("returned last"));
        tokio::time::sleep(Duration::from_secs(2)).await;
        for next in ["delayed", "returned", "new", "newer"] {
            assert_eq!(backlog.pop(), Some(next));
        }
        assert_eq!((backlog.pop(), backlog.bytes(), backlog.is_empty()), (None, 0, true));
    }

    #[test]
    fn it_is_bounded_in_number_and_in_bytes_and_one_entry_always_fits() {
        let mut backlog = Backlog::default();
        backlog.add(1, 1_000);
        assert!(backlog.is_within(1, 10), "one is, however large");
        backlog.add(2, 1);
        assert!(!backlog.is_within(2, 10) && !backlog.is_within(1, 2_000));
        assert!(backlog.is_within(2, 2_000));
        assert_eq!((backlog.pop_oldest_new(), backlog.bytes()), (Some(1), 1));
        backlog.add_at(Instant::now(), 3, 7);
        backlog.put_back(4, 7);
        assert_eq!((backlog.take_all(), backlog.bytes()), (vec![4, 2, 3], 0));
    }
}
