//! A subscription: what it takes from its queue, and what becomes of that.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use aury_events_backends::{
    BackendError, Cancel, Consumer, DeadLetter, Delivery, MaybeReady, Settle, Settlement,
    SubscriptionHealth, in_flight::Tally, kit::lock,
};
use tokio::time::{Instant, Sleep};

use crate::broker::{Broker, Kept, Queue, Waiting};

/// A subscription of this connection to a queue of the broker.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) broker: Arc<Broker>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) tally: Tally,
    pub(crate) is_cancelled: AtomicBool,
}

impl Subscription {
    pub(crate) fn subscriber(&self) -> &Arc<str> {
        &self.queue.spec.subscriber
    }

    pub(crate) fn health(&self) -> SubscriptionHealth {
        let is_live = !self.is_cancelled.load(SeqCst);
        SubscriptionHealth::new(Arc::clone(self.subscriber()), is_live, self.tally.count())
    }

    /// Puts a delivery back into the queue, before what came later.
    pub(crate) fn deliver_again(&self, delivery: &Delivery, due: Instant) {
        let (envelope, attempt) = (delivery.envelope().clone(), delivery.attempt() + 1);
        self.queue.change(|waiting| waiting.push_front(Waiting { envelope, attempt, due }));
        self.tally.settle();
    }
}

impl Settle for Subscription {
    fn settle(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> MaybeReady<'static, Result<(), BackendError>> {
        match settlement {
            Settlement::Ack => self.tally.settle(),
            Settlement::Retry { after } => self.deliver_again(delivery, Instant::now() + after),
            Settlement::DeadLetter(reason) => {
                let letter = DeadLetter::new(Arc::clone(self.subscriber()), delivery, &reason);
                let number = self.broker.buried.fetch_add(1, SeqCst);
                let queue = Arc::clone(&self.queue);
                lock(&self.broker.dead_letters).push(Kept { number, letter, queue });
                self.tally.settle();
            }
            // There will be others. Until this backend knows them, the event comes again.
            _ => self.give_back(delivery),
        }
        MaybeReady::ready(Ok(()))
    }

    fn give_back(&self, delivery: &Delivery) {
        self.deliver_again(delivery, Instant::now());
    }
}

impl Cancel for Subscription {
    fn cancel(&self) {
        self.is_cancelled.store(true, SeqCst);
        self.queue.change(|_| {});
    }
}

/// The reading end of a subscription.
pub(crate) struct Receiver {
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) clock: Pin<Box<Sleep>>,
}

impl Consumer for Receiver {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let Self { subscription, clock } = self;
        let next_delayed = subscription.broker.deliver_due();
        let mut state = lock(&subscription.queue.state);
        if subscription.is_cancelled.load(SeqCst) {
            return Poll::Ready(None);
        }
        let now = Instant::now();
        let next = state.waiting.iter().position(|it| it.due <= now);
        if let Some(Waiting { envelope, attempt, .. }) =
            next.and_then(|at| state.waiting.remove(at))
        {
            subscription.tally.accept();
            let delivery = Delivery::new(envelope, attempt, Arc::clone(subscription) as _, 0);
            return Poll::Ready(Some(delivery));
        }
        if !state.consumers.iter().any(|known| known.will_wake(cx.waker())) {
            state.consumers.push(cx.waker().clone());
        }
        if let Some(due) = state.waiting.iter().map(|it| it.due).chain(next_delayed).min() {
            clock.as_mut().reset(due);
            if clock.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::clone(&self.subscription) as _
    }
}

impl Drop for Receiver {
    /// The queue of a broadcast ends with its process.
    fn drop(&mut self) {
        let Subscription { broker, queue, .. } = &*self.subscription;
        if queue.spec.broadcast {
            lock(&broker.queues).retain(|other| !Arc::ptr_eq(other, queue));
        }
    }
}
