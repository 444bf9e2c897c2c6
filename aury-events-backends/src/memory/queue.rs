//! The bounded queue of one subscriber.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use tokio::time::Instant;

use super::{
    dead_letters::Ring,
    line::{Line, Ticket},
    unowned::UnownedEntries,
};
use crate::{
    backend::{Origin, SubscriptionHealth},
    dead_letters::DeadLetter,
    delivery::{Cancel, Consumer, Delivery, Settle, Settlement},
    envelope::Envelope,
    error::BackendError,
    in_flight::Tally,
    kit::{Alarm, Delayed, Parked, due_after, lock, wake},
    maybe_ready::MaybeReady,
};

/// What waits for one subscriber, in the order in which it was published.
pub(super) struct Queue {
    subscriber: Arc<str>,
    state: Mutex<State>,
    tally: Tally,
    dead_letters: Arc<Ring>,
}

pub(super) struct State {
    entries: VecDeque<Entry>,
    /// After everything else.
    pub(super) unowned: UnownedEntries,
    delayed: Delayed<Entry>,
    /// How many more events applications may add. What handlers publish and what comes back takes no place.
    free_places: usize,
    publishers: Line,
    /// The consumer, while it waits.
    consumer: Option<Waker>,
    intake: Intake,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Intake {
    Open,
    /// Nothing more is taken; what waits is still handed out.
    Closed,
    /// Nobody will take what waits.
    Abandoned,
}

pub(super) struct Entry {
    envelope: Envelope,
    attempt: u32,
    has_place: bool,
}

impl Queue {
    pub(super) fn new(
        subscriber: Arc<str>,
        capacity: usize,
        tally: Tally,
        dead_letters: Arc<Ring>,
    ) -> Self {
        let state = State {
            entries: VecDeque::new(),
            unowned: UnownedEntries::default(),
            delayed: Delayed::default(),
            free_places: capacity,
            publishers: Line::default(),
            consumer: None,
            intake: Intake::Open,
        };
        Self { subscriber, state: Mutex::new(state), tally, dead_letters }
    }

    #[inline]
    fn state(&self) -> MutexGuard<'_, State> {
        // No step leaves the state half changed.
        lock(&self.state)
    }

    /// Adds an event, or gives it back when there is no place for it. A closed queue has no taker for it and drops it.
    // Used twice, it would be called by itself, for an event that mostly goes to few queues.
    #[inline(always)]
    pub(super) fn offer(&self, envelope: Envelope, origin: Origin) -> Result<(), Envelope> {
        let mut state = self.state();
        if state.intake != Intake::Open {
            return Ok(());
        }
        let needs_place = origin == Origin::Application;
        if needs_place && !(state.free_places > 0 && state.publishers.is_empty()) {
            return Err(envelope);
        }
        self.tally.accept_under_lock();
        state.free_places -= usize::from(needs_place);
        state.entries.push_back(Entry { envelope, attempt: 1, has_place: needs_place });
        wake(state);
        Ok(())
    }

    /// Adds an event as soon as there is a place for it.
    ///
    /// It counts as in flight from now on, so that a bus that drains waits for it.
    pub(super) fn add_when_free(self: Arc<Self>, envelope: Envelope) -> AddWhenFree {
        let state = self.state();
        self.tally.accept_under_lock();
        drop(state);
        AddWhenFree { queue: self, envelope: Some(envelope), ticket: None, is_counted: true }
    }

    /// Adds an event that no handler owns as soon as there is a place for it. It counts as in flight from then on.
    pub(super) fn add_unowned_when_free(self: Arc<Self>, envelope: Envelope) -> AddWhenFree {
        AddWhenFree { queue: self, envelope: Some(envelope), ticket: None, is_counted: false }
    }

    /// Adds what a handler has published while the bus drains; the handler of such a one, unless it is owned.
    pub(super) fn add_without_place(&self, envelope: Envelope, is_owned: bool) {
        let mut state = self.state();
        if state.intake != Intake::Open {
            return;
        }
        let entry = Entry { envelope, attempt: 1, has_place: false };
        if is_owned {
            self.tally.accept_under_lock();
            state.entries.push_back(entry);
        } else {
            state.unowned.accept(entry, &self.tally);
        }
        wake(state);
    }

    #[inline]
    fn pop(self: &Arc<Self>, alarm: &mut Alarm, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let mut state = self.state();
        let Some(entry) = state.next_entry() else {
            if !state.unowned.is_empty() {
                return self.pop_unowned(state, alarm, cx);
            }
            if state.intake != Intake::Open && state.delayed.is_empty() {
                return Poll::Ready(None);
            }
            return wait(state, alarm, cx);
        };
        free_place_of(&entry, state);
        Poll::Ready(Some(Delivery::new(entry.envelope, entry.attempt, Arc::clone(self) as _, 0)))
    }

    #[cold]
    fn pop_unowned(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        alarm: &mut Alarm,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Delivery>> {
        let Some((entry, settler)) = state.unowned.pop(self) else {
            return wait(state, alarm, cx);
        };
        free_place_of(&entry, state);
        Poll::Ready(Some(Delivery::new(entry.envelope, entry.attempt, settler, 0)))
    }

    /// Takes a delivery back, to be delivered once more.
    pub(super) fn redeliver(&self, delivery: &Delivery, add: impl FnOnce(&mut State, Entry)) {
        let (envelope, attempt) = (delivery.envelope().clone(), delivery.attempt() + 1);
        let mut state = self.state();
        if state.intake == Intake::Abandoned {
            drop(state);
            self.tally.settle();
        } else {
            add(&mut state, Entry { envelope, attempt, has_place: false });
            wake(state);
        }
    }

    /// Adds an event that had become a dead letter, as one that is new. Gives whether there is a taker for it.
    pub(super) fn add_replayed(&self, envelope: Envelope) -> bool {
        let mut state = self.state();
        if state.intake != Intake::Open {
            return false;
        }
        self.tally.accept_under_lock();
        state.entries.push_back(Entry { envelope, attempt: 1, has_place: false });
        wake(state);
        true
    }

    pub(super) fn subscriber(&self) -> &Arc<str> {
        &self.subscriber
    }

    /// Takes note that one delivery will not be settled.
    pub(super) fn leave(&self) {
        self.tally.leave();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().intake != Intake::Open
    }

    /// Takes nothing more; what waits is still handed out.
    pub(super) fn close(&self) {
        let mut state = self.state();
        if state.intake == Intake::Open {
            state.intake = Intake::Closed;
        }
        let publishers = state.publishers.dissolve();
        wake(state);
        publishers.into_iter().for_each(Waker::wake);
    }

    /// Takes nothing more, and drops what waits.
    fn abandon(&self) {
        self.close();
        let left = {
            let mut state = self.state();
            state.intake = Intake::Abandoned;
            let left = std::mem::take(&mut state.entries);
            left.len() + state.unowned.clear() + state.delayed.clear()
        };
        (0..left).for_each(|_| self.tally.settle());
    }

    pub(super) fn health(&self) -> SubscriptionHealth {
        SubscriptionHealth::new(Arc::clone(&self.subscriber), !self.is_closed(), self.tally.count())
    }
}

/// Gives the place of an entry that was taken out to a publisher that waits for one.
#[inline(always)]
fn free_place_of(entry: &Entry, mut state: MutexGuard<'_, State>) {
    state.free_places += usize::from(entry.has_place);
    let publisher = state.publishers.call();
    drop(state);
    if let Some(publisher) = publisher {
        publisher.wake();
    }
}

/// Has the consumer called when there is something to be taken out.
#[inline(always)]
fn wait(
    mut state: MutexGuard<'_, State>,
    alarm: &mut Alarm,
    cx: &mut Context<'_>,
) -> Poll<Option<Delivery>> {
    state.consumer = Some(cx.waker().clone());
    let due = [state.delayed.next(), state.unowned.due()].into_iter().flatten().min();
    drop(state);
    if let Some(due) = due {
        alarm.set(due, cx);
    }
    Poll::Pending
}

impl State {
    /// What is to be handed out next: what was to come back by now goes before what is new.
    #[inline]
    fn next_entry(&mut self) -> Option<Entry> {
        if !self.delayed.is_empty()
            && let Some(entry) = self.delayed.pop(Instant::now())
        {
            return Some(entry);
        }
        self.entries.pop_front()
    }
}

impl Parked for State {
    #[inline]
    fn take_consumer(&mut self) -> Option<Waker> {
        self.consumer.take()
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

/// The wait of a publisher for a place in a queue.
///
/// Dropped before, the event is not added.
pub(super) struct AddWhenFree {
    queue: Arc<Queue>,
    /// `None` once it has been added.
    envelope: Option<Envelope>,
    ticket: Option<Ticket>,
    /// Whether it counts as in flight already; it is one that no handler owns, otherwise.
    is_counted: bool,
}

impl AddWhenFree {
    pub(super) fn subscriber(&self) -> &str {
        self.queue.subscriber()
    }
}

/// The queue was closed before there was a place.
pub(super) struct QueueClosed;

impl Future for AddWhenFree {
    type Output = Result<(), QueueClosed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut state = this.queue.state();
        if state.intake != Intake::Open {
            return Poll::Ready(Err(QueueClosed));
        }
        if state.free_places == 0 || !state.publishers.is_turn_of(this.ticket) {
            this.ticket = Some(state.publishers.stand(this.ticket, cx.waker()));
            return Poll::Pending;
        }
        if let Some(envelope) = this.envelope.take() {
            state.free_places -= 1;
            let entry = Entry { envelope, attempt: 1, has_place: true };
            if this.is_counted {
                state.entries.push_back(entry);
            } else {
                state.unowned.accept(entry, &this.queue.tally);
            }
        }
        wake(state);
        Poll::Ready(Ok(()))
    }
}

impl Drop for AddWhenFree {
    fn drop(&mut self) {
        if self.envelope.is_some() && self.is_counted {
            self.queue.tally.settle();
        }
        if let Some(ticket) = self.ticket {
            let mut state = self.queue.state();
            state.publishers.leave(ticket);
            let next = if state.free_places > 0 { state.publishers.call() } else { None };
            drop(state);
            if let Some(next) = next {
                next.wake();
            }
        }
    }
}

impl Settle for Queue {
    #[inline]
    fn settle(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> MaybeReady<'static, Result<(), BackendError>> {
        match settlement {
            Settlement::Ack => self.tally.settle(),
            Settlement::Retry { after } => {
                let due = due_after(after);
                self.redeliver(delivery, |state, entry| state.delayed.add(due, entry));
            }
            Settlement::DeadLetter(reason) => {
                let subscriber = Arc::clone(&self.subscriber);
                self.dead_letters.push(DeadLetter::new(subscriber, delivery, &reason));
                self.tally.settle();
            }
        }
        MaybeReady::ready(Ok(()))
    }

    fn give_back(&self, delivery: &Delivery) {
        self.redeliver(delivery, |state, entry| state.entries.push_front(entry));
    }
}

impl Cancel for Queue {
    fn cancel(&self) {
        self.close();
    }
}

/// The reading end of a [`Queue`]. Dropping it gives the queue up.
pub(super) struct QueueConsumer {
    queue: Arc<Queue>,
    alarm: Alarm,
}

impl QueueConsumer {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue, alarm: Alarm::default() }
    }
}

impl Consumer for QueueConsumer {
    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.queue.pop(&mut self.alarm, cx)
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::clone(&self.queue) as _
    }
}

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}
