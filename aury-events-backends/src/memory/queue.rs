//! The bounded queue of one subscriber.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::sync::Semaphore;

use super::dead_letters::Ring;
use crate::{
    backend::{Origin, SubscriptionHealth},
    delivery::{Cancel, Consumer, DeadLetter, Delivery, Settle, Settlement},
    envelope::Envelope,
    error::BackendError,
    in_flight::Tally,
    maybe_ready::MaybeReady,
};

/// What waits for one subscriber, in the order in which it was published.
pub(super) struct Queue {
    subscriber: Arc<str>,
    state: Mutex<State>,
    /// The free places. Publishers that wait for one are served in the order in which they came.
    places: Semaphore,
    tally: Tally,
    dead_letters: Arc<Ring>,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    /// The consumer, while it waits.
    consumer: Option<Waker>,
    /// Nothing more is taken; what waits is still handed out.
    closed: bool,
    /// Nobody will take what waits.
    abandoned: bool,
}

struct Entry {
    envelope: Envelope,
    attempt: u32,
    /// Whether it occupies one of the `places`: what handlers publish and what comes back does not.
    has_place: bool,
}

impl Queue {
    pub(super) fn new(
        subscriber: Arc<str>,
        capacity: usize,
        tally: Tally,
        dead_letters: Arc<Ring>,
    ) -> Self {
        Self {
            subscriber,
            state: Mutex::default(),
            places: Semaphore::new(capacity.min(Semaphore::MAX_PERMITS)),
            tally,
            dead_letters,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, or gives it back when the queue is full. An event for a closed queue has no taker and is dropped.
    pub(super) fn offer(&self, envelope: Envelope, origin: Origin) -> Result<(), Box<Envelope>> {
        let has_place = origin == Origin::Application;
        if has_place {
            match self.places.try_acquire() {
                Ok(place) => place.forget(),
                Err(_) if self.is_closed() => return Ok(()),
                Err(_) => return Err(Box::new(envelope)),
            }
        }
        self.tally.accept();
        self.push(Entry { envelope, attempt: 1, has_place });
        Ok(())
    }

    /// Adds an event as soon as there is a place; an error when the queue is closed before.
    ///
    /// It counts as in flight from now on, so that a bus that drains waits for it.
    pub(super) fn push_when_free(
        self: Arc<Self>,
        envelope: Envelope,
    ) -> impl Future<Output = Result<(), QueueClosed>> + Send {
        self.tally.accept();
        let mut announced = Announced { queue: self, is_queued: false };
        async move {
            let place = announced.queue.places.acquire().await.map_err(|_| QueueClosed)?;
            place.forget();
            announced.is_queued = true;
            announced.queue.push(Entry { envelope, attempt: 1, has_place: true });
            Ok(())
        }
    }

    fn push(&self, entry: Entry) {
        self.insert(|state| {
            let is_taken = !state.closed;
            if is_taken {
                state.entries.push_back(entry);
            }
            is_taken
        });
    }

    /// Lets `insert` add an entry that has been counted in, and wakes the consumer; `false` means it had no use for it.
    fn insert(&self, insert: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state();
        let is_taken = insert(&mut state);
        let consumer = state.consumer.take();
        drop(state);
        if !is_taken {
            self.tally.settle();
        }
        if let Some(consumer) = consumer {
            consumer.wake();
        }
    }

    fn pop(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let mut state = self.state();
        let Some(entry) = state.entries.pop_front() else {
            if state.closed {
                return Poll::Ready(None);
            }
            state.consumer = Some(cx.waker().clone());
            return Poll::Pending;
        };
        drop(state);
        if entry.has_place {
            self.places.add_permits(1);
        }
        Poll::Ready(Some(Delivery::new(entry.envelope, entry.attempt, Arc::clone(self) as _, 0)))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.places.is_closed()
    }

    /// Takes nothing more; what waits is still handed out.
    pub(super) fn close(&self) {
        let consumer = {
            let mut state = self.state();
            state.closed = true;
            state.consumer.take()
        };
        self.places.close();
        if let Some(consumer) = consumer {
            consumer.wake();
        }
    }

    pub(super) fn health(&self) -> SubscriptionHealth {
        SubscriptionHealth::new(Arc::clone(&self.subscriber), !self.is_closed(), self.tally.count())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("subscriber", &self.subscriber)
            .field("in_flight", &self.tally.count())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The queue was closed before there was a place.
pub(super) struct QueueClosed;

/// An event that counts as in flight while its publisher waits for a place.
struct Announced {
    queue: Arc<Queue>,
    is_queued: bool,
}

impl Drop for Announced {
    fn drop(&mut self) {
        if !self.is_queued {
            self.queue.tally.settle();
        }
    }
}

impl Settle for Queue {
    fn settle(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> MaybeReady<'static, Result<(), BackendError>> {
        if let Settlement::DeadLetter(reason) = settlement {
            self.dead_letters.push(DeadLetter::new(
                Arc::clone(&self.subscriber),
                delivery,
                &reason,
            ));
        }
        self.tally.settle();
        MaybeReady::ready(Ok(()))
    }

    fn give_back(&self, delivery: &Delivery) {
        let entry = Entry {
            envelope: delivery.envelope().clone(),
            attempt: delivery.attempt() + 1,
            has_place: false,
        };
        self.insert(|state| {
            let is_taken = !state.abandoned;
            if is_taken {
                state.entries.push_front(entry);
            }
            is_taken
        });
    }
}

impl Cancel for Queue {
    fn cancel(&self) {
        self.close();
    }
}

/// The reading end of a [`Queue`]. Dropping it closes the queue.
pub(super) struct QueueConsumer(Arc<Queue>);

impl QueueConsumer {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self(queue)
    }
}

impl Consumer for QueueConsumer {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.0.pop(cx)
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::clone(&self.0) as _
    }
}

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        self.0.close();
        // Nobody will take what is left, so it must not count as in flight any longer.
        let left = {
            let mut state = self.0.state();
            state.abandoned = true;
            std::mem::take(&mut state.entries)
        };
        left.iter().for_each(|_| self.0.tally.settle());
    }
}
