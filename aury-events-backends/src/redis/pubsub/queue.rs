//! The bounded queue between the socket and the handlers of one subscriber.
//!
//! Redis does not wait for a slow subscriber, and neither may the task that reads the socket: Redis would cut the
//! connection for all. So a full queue loses its **oldest** event for every new one, which is counted and told. What
//! is retried or was given back stays, and takes the room of new events instead.

use std::{
    sync::{Arc, Mutex, MutexGuard, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::lag::Lag;
use crate::{
    backend::SubscriptionHealth,
    dead_letters::DeadLetter,
    delivery::{Cancel, Consumer, Delivery, Settle, Settlement},
    envelope::Envelope,
    error::BackendError,
    in_flight::Tally,
    kit::{Alarm, Backlog, Intake, Parked, due_after, lock, wake},
    maybe_ready::MaybeReady,
    redis::dead_letters::DeadLetters,
};

/// What waits for one subscriber, in the order in which it came.
pub(super) struct Queue {
    /// Itself, for the dead letter that is stored while the delivery is gone already.
    this: Weak<Self>,
    subscriber: Arc<str>,
    state: Mutex<State>,
    tally: Tally,
    dead_letters: Arc<DeadLetters>,
    /// Told when the queue takes no more.
    closing: Arc<Notify>,
}

struct State {
    waiting: Backlog<Entry>,
    bound: Bound,
    lag: Lag,
    intake: Intake,
}

/// How much may wait: one event always may.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

struct Entry {
    envelope: Envelope,
    attempt: u32,
}

impl Queue {
    pub(super) fn new(
        subscriber: Arc<str>,
        bound: Bound,
        tally: Tally,
        dead_letters: Arc<DeadLetters>,
        closing: Arc<Notify>,
    ) -> Arc<Self> {
        let state =
            State { waiting: Backlog::default(), bound, lag: Lag::default(), intake: Intake::Open };
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            subscriber,
            state: Mutex::new(state),
            tally,
            dead_letters,
            closing,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Adds an event, at the cost of the oldest ones if there is no place for it. Never waits. Gives whether there is a
    /// taker for it.
    pub(super) fn add(&self, envelope: Envelope) -> bool {
        let mut state = self.state();
        if state.intake != Intake::Open {
            return false;
        }
        self.tally.accept();
        state.add(Entry { envelope, attempt: 1 }, Backlog::add);
        let (mut dropped, mut report) = (Vec::new(), None);
        while !state.waiting.is_within(state.bound.events, state.bound.bytes)
            && let Some(oldest) = state.waiting.pop_oldest_new()
        {
            dropped.push(oldest);
            let due = state.lag.count(Instant::now());
            report = report.or(due);
        }
        wake(state);
        dropped.iter().for_each(|_| self.tally.settle());
        if let Some(count) = report {
            tracing::warn!(
                subscriber = %self.subscriber,
                dropped = count,
                "the subscriber is too slow: its oldest events are dropped; this is said once a minute"
            );
        }
        true
    }

    fn pop(self: &Arc<Self>, alarm: &mut Alarm, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let mut state = self.state();
        if let Some(Entry { envelope, attempt }) = state.waiting.pop() {
            let is_free = !state.waiting.has_new();
            let lag = is_free.then(|| state.lag.caught_up(Instant::now())).flatten();
            drop(state);
            self.report_caught_up(lag);
            return Poll::Ready(Some(Delivery::new(envelope, attempt, Arc::clone(self) as _, 0)));
        }
        if state.intake != Intake::Open && state.waiting.is_empty() {
            return Poll::Ready(None);
        }
        state.waiting.park(cx.waker());
        if let Some(due) = state.waiting.next_due() {
            drop(state);
            alarm.set(due, cx);
        }
        Poll::Pending
    }

    fn report_caught_up(&self, lag: Option<(Duration, u64)>) {
        if let Some((time, dropped)) = lag {
            tracing::info!(
                subscriber = %self.subscriber,
                dropped,
                "the subscriber keeps up again, after {time:?}"
            );
        }
    }

    /// Takes a delivery back, to be delivered once more.
    fn redeliver(&self, entry: Entry, add: impl FnOnce(&mut Backlog<Entry>, Entry, usize)) {
        let mut state = self.state();
        if state.intake == Intake::Abandoned {
            drop(state);
            self.tally.settle();
        } else {
            state.add(entry, add);
            wake(state);
        }
    }

    pub(super) fn subscriber(&self) -> &Arc<str> {
        &self.subscriber
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().intake != Intake::Open
    }

    /// Takes nothing more; what waits is still handed out.
    pub(super) fn close(&self) {
        let mut state = self.state();
        if state.intake == Intake::Open {
            state.intake = Intake::Cancelled;
        }
        wake(state);
        self.closing.notify_one();
    }

    /// Takes nothing more, and drops what waits.
    fn abandon(&self) {
        self.close();
        let mut state = self.state();
        state.intake = Intake::Abandoned;
        let left = state.waiting.take_all().len();
        drop(state);
        (0..left).for_each(|_| self.tally.settle());
    }

    pub(super) fn health(&self, is_live: bool) -> SubscriptionHealth {
        let state = self.state();
        let (is_open, dropped) = (state.intake == Intake::Open, state.lag.total());
        drop(state);
        SubscriptionHealth::new(
            Arc::clone(&self.subscriber),
            is_live && is_open,
            self.tally.count(),
        )
        .with_dropped(dropped)
    }
}

impl State {
    fn add(&mut self, entry: Entry, add: impl FnOnce(&mut Backlog<Entry>, Entry, usize)) {
        let bytes = entry.envelope.payload().size();
        add(&mut self.waiting, entry, bytes);
    }
}

impl Parked for State {
    fn take_consumer(&mut self) -> Option<Waker> {
        self.waiting.take_consumer()
    }
}

impl Entry {
    /// The delivery, to be delivered once more.
    fn again(delivery: &Delivery) -> Self {
        Self { envelope: delivery.envelope().clone(), attempt: delivery.attempt() + 1 }
    }
}

impl Settle for Queue {
    fn settle(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> MaybeReady<'static, Result<(), BackendError>> {
        match settlement {
            Settlement::Ack => self.tally.settle(),
            Settlement::Retry { after } => {
                let due = due_after(after);
                self.redeliver(Entry::again(delivery), |waiting, entry, bytes| {
                    waiting.add_at(due, entry, bytes);
                });
            }
            Settlement::DeadLetter(reason) => {
                let letter = DeadLetter::new(Arc::clone(&self.subscriber), delivery, &reason);
                let unstored = Unstored::new(self, delivery);
                let dead_letters = Arc::clone(&self.dead_letters);
                return MaybeReady::pending(async move {
                    dead_letters.store(&letter).await?;
                    unstored.note_stored();
                    Ok(())
                });
            }
        }
        MaybeReady::ready(Ok(()))
    }

    fn give_back(&self, delivery: &Delivery) {
        self.redeliver(Entry::again(delivery), Backlog::put_back);
    }
}

/// How long a dead letter that could not be stored waits until it is handled once more.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// A delivery on its way to the dead letters. Dropped before it is there, it comes back to the queue.
struct Unstored {
    /// `None` when the queue is gone, and with it the count.
    queue: Option<Arc<Queue>>,
    /// `None` once it is stored.
    entry: Option<Entry>,
}

impl Unstored {
    fn new(queue: &Queue, delivery: &Delivery) -> Self {
        Self { queue: queue.this.upgrade(), entry: Some(Entry::again(delivery)) }
    }

    fn note_stored(mut self) {
        self.entry = None;
        if let Some(queue) = &self.queue {
            queue.tally.settle();
        }
    }
}

impl Drop for Unstored {
    fn drop(&mut self) {
        if let (Some(queue), Some(entry)) = (&self.queue, self.entry.take()) {
            let due = Instant::now() + STORE_AGAIN;
            queue.redeliver(entry, |waiting, entry, bytes| waiting.add_at(due, entry, bytes));
        }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::{
        config::BackendConfig,
        envelope::{EventName, Payload},
        in_flight::InFlight,
        redis::{
            codec::Codec,
            connection::RedisClient,
            link::{Commands, Link, RedisConnector},
            probe::Use,
            pubsub::replay::ByChannel,
        },
    };

    const NAME: EventName = EventName::from_static("order.created");

    /// A queue for three events, whose dead letters cannot be stored.
    fn queue(in_flight: &InFlight) -> (Arc<Queue>, QueueConsumer) {
        let config = BackendConfig {
            url: "redis://localhost:1".parse().ok(),
            publish_timeout: Duration::from_secs(1),
            ..BackendConfig::default()
        };
        let connector = RedisConnector::new(
            RedisClient::new(&config, Use::PubSub, "").unwrap(),
            Arc::new(Commands),
        );
        let link = Link::down(connector);
        let replay = ByChannel { prefix: String::new(), service: "shop".into() };
        let codec = Codec::new(&config);
        let dead_letters =
            Arc::new(DeadLetters::new(link, "shop".into(), codec, "", &config, replay));
        let bound = Bound { events: 3, bytes: 10 };
        let queue =
            Queue::new("slow".into(), bound, in_flight.tally(), dead_letters, Arc::default());
        (Arc::clone(&queue), QueueConsumer::new(queue))
    }

    fn add(queue: &Queue, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            let payload = Payload::Typed(Arc::new(number));
            queue.add(Envelope::published(NAME, 1, "/service", None, payload));
        }
    }

    async fn next(consumer: &mut QueueConsumer) -> (u32, Delivery) {
        let delivery = poll_fn(|cx| consumer.poll_next(cx)).await.unwrap();
        (*delivery.payload().decode().unwrap(), delivery)
    }

    fn dropped(queue: &Queue) -> u64 {
        queue.health(true).dropped
    }

    #[tokio::test]
    async fn a_full_queue_loses_its_oldest_event_and_counts_it() {
        let in_flight = InFlight::default();
        let (queue, mut consumer) = queue(&in_flight);
        add(&queue, 1..=5);
        assert_eq!((dropped(&queue), in_flight.count()), (2, 3));
        for expected in 3..=5 {
            let (number, delivery) = next(&mut consumer).await;
            assert_eq!(number, expected);
            delivery.settle(Settlement::Ack).await.unwrap();
        }
        in_flight.settled().await;
    }

    #[tokio::test]
    async fn a_queue_is_bounded_in_bytes_and_one_event_always_fits() {
        let in_flight = InFlight::default();
        let (queue, mut consumer) = queue(&in_flight);
        let add = |json: &str| {
            let payload = Payload::Json(json.as_bytes().into());
            queue.add(Envelope::published(NAME, 1, "/service", None, payload));
        };
        add(&"1".repeat(50));
        assert_eq!(dropped(&queue), 0);
        add("2222");
        add("333333");
        assert_eq!((dropped(&queue), in_flight.count()), (1, 2), "the large one");
        add("4444444");
        assert_eq!((dropped(&queue), in_flight.count()), (3, 1), "ten bytes are too few for both");
        let delivery = poll_fn(|cx| consumer.poll_next(cx)).await.unwrap();
        assert_eq!(delivery.payload().size(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_retried_keeps_its_place_and_new_events_are_dropped_for_it() {
        let in_flight = InFlight::default();
        let (queue, mut consumer) = queue(&in_flight);
        add(&queue, 1..=3);
        for _ in 1..=3 {
            let (_, delivery) = next(&mut consumer).await;
            delivery.settle(Settlement::Retry { after: Duration::from_secs(1) }).await.unwrap();
        }
        add(&queue, 4..=9);
        assert_eq!((dropped(&queue), in_flight.count()), (6, 3));
        for expected in 1..=3 {
            let (number, delivery) = next(&mut consumer).await;
            assert_eq!((number, delivery.attempt()), (expected, 2));
            delivery.settle(Settlement::Ack).await.unwrap();
        }
        add(&queue, [10]);
        assert_eq!(next(&mut consumer).await.0, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_letter_that_cannot_be_stored_comes_back() {
        let in_flight = InFlight::default();
        let (queue, mut consumer) = queue(&in_flight);
        add(&queue, [1]);
        let (_, delivery) = next(&mut consumer).await;
        let reason = crate::DeadLetterReason::Panicked("oh".to_owned());
        let error = delivery.settle(Settlement::DeadLetter(reason)).await.unwrap_err();
        assert!(error.is_not_connected());
        assert_eq!(in_flight.count(), 1);
        let (number, delivery) = next(&mut consumer).await;
        assert_eq!((number, delivery.attempt()), (1, 2));
        drop(delivery);
        assert_eq!(next(&mut consumer).await.1.attempt(), 3);
    }

    #[tokio::test]
    async fn a_closed_queue_takes_nothing_and_hands_out_what_it_holds() {
        let in_flight = InFlight::default();
        let (queue, mut consumer) = queue(&in_flight);
        add(&queue, 1..=2);
        consumer.canceller().cancel();
        add(&queue, [3]);
        assert_eq!(next(&mut consumer).await.0, 1);
        assert_eq!(in_flight.count(), 2, "what was dropped came back");
        drop(consumer);
        in_flight.settled().await;
    }
}
