//! What one subscriber holds: the deliveries between the broker and its handlers.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use lapin::types::ShortString;
use tokio::{sync::watch, time::Instant};

use super::{acks::Key, session::Session};
use crate::{
    backend::SubscriptionHealth,
    delivery::{Cancel, Consumer, Delivery},
    envelope::Envelope,
    in_flight::Tally,
    kit::{Alarm, Delayed, due_after},
};

/// How many messages that were settled are remembered, in case that their acknowledgements are lost.
const REMEMBERED: usize = 8192;

/// The deliveries of one subscriber in this process.
pub(super) struct Inbox {
    pub(super) subscriber: Arc<str>,
    /// Whether its queue ends with the connection: what is here is then the only copy.
    is_own: bool,
    state: Mutex<State>,
    intake: watch::Sender<Intake>,
    tally: Tally,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Waiting>,
    delayed: Delayed<Waiting>,
    /// The consumer, while it waits.
    consumer: Option<Waker>,
    settled: Remembered,
    /// The channel by which deliveries come now.
    session: Option<Arc<Session>>,
    /// Whether nothing more comes in.
    is_complete: bool,
    /// What is wrong with the subscription, or was wrong with it last.
    problem: Option<Arc<str>>,
}

/// What a subscription still does, on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Intake {
    Open,
    /// Nothing more is taken; what is here is handed out.
    Cancelled,
    /// Nobody will take what waits here; what handlers hold is still settled.
    Abandoned,
    /// Nothing is handed out; what has been settled by now is told to the broker.
    Closed,
}

pub(super) struct Waiting {
    pub(super) envelope: Envelope,
    pub(super) attempt: u32,
    pub(super) tag: u64,
    /// The key by which it may be known already, of a message that has been delivered before.
    pub(super) redelivered: Option<Key>,
    pub(super) session: Arc<Session>,
}

impl Inbox {
    pub(super) fn new(subscriber: Arc<str>, is_own: bool, tally: Tally) -> Self {
        let intake = watch::Sender::new(Intake::Open);
        Self { subscriber, is_own, state: Mutex::default(), intake, tally }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_own(&self) -> bool {
        self.is_own
    }

    /// Takes in a delivery, to be handed out.
    pub(super) fn take_in(&self, waiting: Waiting) {
        self.tally.accept();
        let mut state = self.state();
        state.ready.push_back(waiting);
        wake(state);
    }

    /// Takes back a delivery, to be handed out once more at that time.
    pub(super) fn take_back(&self, delivery: &Delivery, session: Arc<Session>, after: Duration) {
        let waiting = Waiting {
            envelope: delivery.envelope().clone(),
            attempt: delivery.attempt().saturating_add(1),
            tag: delivery.tag(),
            redelivered: None,
            session,
        };
        let mut state = self.state();
        if self.intake() >= Intake::Abandoned {
            drop(state);
            self.return_to_broker(waiting);
            return;
        }
        state.delayed.add(due_after(after), waiting);
        wake(state);
    }

    fn return_to_broker(&self, waiting: Waiting) {
        waiting.session.acks.give_back(waiting.tag);
        self.tally.settle();
    }

    /// Counts in a delivery that is not handed out.
    pub(super) fn accept(&self) {
        self.tally.accept();
    }

    /// Counts out a delivery that was settled, and remembers it by its key.
    pub(super) fn settled(&self, key: Option<Key>) {
        if let Some(key) = key {
            self.state().settled.add(key);
        }
        self.tally.settle();
    }

    /// Counts out a delivery that went back to the broker.
    pub(super) fn returned(&self) {
        self.tally.settle();
    }

    fn next(&self, alarm: &mut Alarm, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        loop {
            let mut state = self.state();
            let intake = self.intake();
            if intake >= Intake::Closed {
                return Poll::Ready(None);
            }
            let Some(waiting) = state.next() else {
                if state.is_complete && state.delayed.is_empty() {
                    return Poll::Ready(None);
                }
                state.consumer = Some(cx.waker().clone());
                let due = state.delayed.next();
                drop(state);
                if let Some(due) = due {
                    alarm.set(due, cx);
                }
                // There is nothing to wait for that it could be told together with.
                self.flush();
                return Poll::Pending;
            };
            let Waiting { envelope, attempt, tag, redelivered, session } = waiting;
            if session.acks.is_lost() && !self.is_own {
                // The broker delivers it again.
                drop(state);
                self.tally.settle();
                continue;
            }
            if redelivered.is_some_and(|key| state.settled.contains(&key)) {
                drop(state);
                let key = session.acks.settle(tag);
                self.settled(key);
                continue;
            }
            drop(state);
            return Poll::Ready(Some(Delivery::new(envelope, attempt, session, tag)));
        }
    }

    pub(super) fn intake(&self) -> Intake {
        *self.intake.borrow()
    }

    /// Whether there is something left to do for it.
    pub(super) fn is_in_use(&self) -> bool {
        self.intake() == Intake::Open || self.tally.count() > 0
    }

    /// Goes on to a later stage.
    pub(super) fn advance(&self, to: Intake) {
        let state = self.state();
        self.intake.send_if_modified(|intake| {
            let goes_on = *intake < to;
            *intake = to.max(*intake);
            goes_on
        });
        wake(state);
        if to >= Intake::Abandoned {
            self.empty();
        }
    }

    /// Tells the broker what was settled.
    fn flush(&self) {
        let session = self.state().session.clone();
        if let Some(session) = session {
            session.acks.flush();
        }
    }

    /// Returns what waits to the broker.
    fn empty(&self) {
        let mut state = self.state();
        let mut left = std::mem::take(&mut state.ready);
        left.extend(state.delayed.drain());
        drop(state);
        for waiting in left {
            self.return_to_broker(waiting);
        }
    }

    /// Takes note that nothing more comes in: what was on its way when the subscription was cancelled is here.
    pub(super) fn complete(&self) {
        let mut state = self.state();
        state.is_complete = true;
        wake(state);
    }

    /// Waits until the stage is not that one any more. Cancel safe.
    pub(super) async fn intake_beyond(&self, stage: Intake) {
        // The sender is ours, so that waiting does not fail.
        let _ = self.intake.subscribe().wait_for(|intake| *intake > stage).await;
    }

    /// Deliveries come by this channel from now on.
    pub(super) fn begin(&self, session: Arc<Session>) {
        self.state().session = Some(session);
    }

    /// No deliveries come for the moment, for that reason.
    pub(super) fn lose(&self, problem: impl Into<Arc<str>>) {
        let mut state = self.state();
        if let Some(session) = state.session.take() {
            session.acks.lose();
        }
        state.problem = Some(problem.into());
        // The consumer sorts out what comes again.
        wake(state);
    }

    /// The queue that it has for this process alone, if it has one now.
    pub(super) fn own_queue(&self) -> Option<ShortString> {
        let state = self.state();
        let session = state.session.as_ref().filter(|_| self.is_own)?;
        Some(session.queue.clone())
    }

    pub(super) fn health(&self) -> SubscriptionHealth {
        let state = self.state();
        let is_live = state.session.is_some() && self.intake() == Intake::Open;
        SubscriptionHealth::new(Arc::clone(&self.subscriber), is_live, self.tally.count())
            .with_problem(state.problem.clone())
    }
}

impl State {
    /// What is to be handed out next: what was to come back by now goes before what is new.
    fn next(&mut self) -> Option<Waiting> {
        if !self.delayed.is_empty()
            && let Some(waiting) = self.delayed.pop(Instant::now())
        {
            return Some(waiting);
        }
        self.ready.pop_front()
    }
}

/// Lets go of the state and wakes the consumer, if it waits.
fn wake(mut state: MutexGuard<'_, State>) {
    let consumer = state.consumer.take();
    drop(state);
    if let Some(consumer) = consumer {
        consumer.wake();
    }
}

/// The latest messages that were settled.
#[derive(Default)]
struct Remembered {
    keys: HashSet<Key>,
    order: VecDeque<Key>,
}

impl Remembered {
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

    fn contains(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }
}

/// Ends a subscription from outside.
pub(super) struct Canceller(pub(super) Arc<Inbox>);

impl Cancel for Canceller {
    fn cancel(&self) {
        self.0.advance(Intake::Cancelled);
    }
}

/// The reading end of an [`Inbox`]. Dropping it gives what waits back to the broker.
pub(super) struct InboxConsumer {
    inbox: Arc<Inbox>,
    alarm: Alarm,
}

impl InboxConsumer {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, alarm: Alarm::default() }
    }
}

impl Consumer for InboxConsumer {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.inbox.next(&mut self.alarm, cx)
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::new(Canceller(Arc::clone(&self.inbox)))
    }
}

impl Drop for InboxConsumer {
    fn drop(&mut self) {
        self.inbox.advance(Intake::Abandoned);
        self.inbox.flush();
    }
}
