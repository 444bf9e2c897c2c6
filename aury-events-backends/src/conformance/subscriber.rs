//! Subscribers: read by hand, one delivery at a time, or run by a task that settles as it is told.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{task::JoinHandle, time::timeout};

use super::{
    ledger::Ledger,
    process::Numbered,
    wait::{DEADLINE, in_time, until},
};
use crate::{
    backend::Backend,
    delivery::{Cancel, Consumer, Delivery, Settlement},
    kit::lock,
    reason::DeadLetterReason,
};

/// A subscription that is read by hand.
pub(super) struct Subscriber {
    id: Arc<str>,
    consumer: Box<dyn Consumer>,
    /// A process runs as long as it has subscribers, and is dropped after them.
    _backend: Arc<dyn Backend>,
}

/// The order that was delivered.
pub(super) fn numbered(delivery: &Delivery) -> Numbered {
    let decoded = delivery.payload().decode::<Numbered>();
    *decoded.unwrap_or_else(|error| panic!("a delivery holds another event: {error:?}"))
}

pub(super) async fn ack(delivery: Delivery) {
    settle(delivery, Settlement::Ack).await;
}

pub(super) async fn retry(delivery: Delivery, after: Duration) {
    settle(delivery, Settlement::Retry { after }).await;
}

pub(super) async fn dead_letter(delivery: Delivery, why: &'static str) {
    settle(delivery, Settlement::DeadLetter(DeadLetterReason::Failed(why.into()))).await;
}

async fn settle(delivery: Delivery, settlement: Settlement) {
    let settled = in_time("a settlement", delivery.settle(settlement)).await;
    settled.unwrap_or_else(|error| panic!("settle: {error:?}"));
}

impl Subscriber {
    pub(super) fn new(
        id: Arc<str>,
        consumer: Box<dyn Consumer>,
        backend: Arc<dyn Backend>,
    ) -> Self {
        Self { id, consumer, _backend: backend }
    }

    /// The next delivery, or the end.
    pub(super) async fn next_or_end(&mut self) -> Option<Delivery> {
        poll_fn(|cx| self.consumer.poll_next(cx)).await
    }

    pub(super) async fn next(&mut self) -> Delivery {
        self.next_within(DEADLINE).await
    }

    pub(super) async fn next_within(&mut self, limit: Duration) -> Delivery {
        match timeout(limit, self.next_or_end()).await {
            Ok(Some(delivery)) => delivery,
            Ok(None) => panic!("the subscription of {} has ended", self.id),
            Err(_) => panic!("{} got nothing within {limit:?}", self.id),
        }
    }

    /// Takes and acknowledges the next delivery, which is to be the order of that number.
    pub(super) async fn expect(&mut self, number: u32) {
        let delivery = self.next().await;
        assert_eq!(numbered(&delivery).number, number, "{} got another event", self.id);
        ack(delivery).await;
    }

    /// What is handed out until the subscription ends, acknowledged.
    pub(super) async fn rest(&mut self) -> Vec<Numbered> {
        let mut rest = Vec::new();
        while let Some(delivery) = in_time("the end", self.next_or_end()).await {
            rest.push(numbered(&delivery));
            ack(delivery).await;
        }
        rest
    }

    pub(super) fn cancel(&self) {
        self.consumer.canceller().cancel();
    }

    /// Has a task run it that handles every event.
    pub(super) fn handle_all(self) -> Worker {
        self.handle(|_| Verdict::Handled)
    }

    /// Has a task run it that handles every event and enters it.
    pub(super) fn handle_into(self, ledger: &Ledger) -> Worker {
        let (ledger, id) = (ledger.clone(), Arc::clone(&self.id));
        self.handle(move |delivery| {
            ledger.done(&id, delivery.metadata().id());
            Verdict::Handled
        })
    }

    /// Has a task run it that settles as `handler` says.
    pub(super) fn handle(
        mut self,
        mut handler: impl FnMut(&Delivery) -> Verdict + Send + 'static,
    ) -> Worker {
        let seen = Seen::default();
        let canceller = self.consumer.canceller();
        let log = seen.clone();
        let task = tokio::spawn(async move {
            while let Some(delivery) = self.next_or_end().await {
                log.add(&delivery);
                let settlement = match handler(&delivery) {
                    Verdict::Handled => Settlement::Ack,
                    Verdict::Retry(after) => Settlement::Retry { after },
                };
                // A server that is away cannot be told; it will deliver once more.
                let _ = delivery.settle(settlement).await;
            }
        });
        Worker { seen, canceller, task }
    }
}

/// What a handler makes of a delivery.
pub(super) enum Verdict {
    Handled,
    Retry(Duration),
}

/// A task that handles a subscriber's events. Dropping it ends the subscription without a further settlement.
pub(super) struct Worker {
    pub(super) seen: Seen,
    canceller: Arc<dyn Cancel>,
    task: JoinHandle<()>,
}

impl Worker {
    /// Unsubscribes, and waits until the subscription has ended.
    pub(super) async fn stop(mut self) -> Vec<Sight> {
        self.canceller.cancel();
        let ended = in_time("a cancelled subscription ends", &mut self.task).await;
        ended.unwrap_or_else(|error| panic!("a subscriber failed: {error}"));
        self.seen.all().clone()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One delivery that a worker was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) event: Numbered,
    pub(super) attempt: u32,
}

/// What a worker was given, in order.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<Sight>>>);

impl Seen {
    pub(super) fn all(&self) -> MutexGuard<'_, Vec<Sight>> {
        lock(&self.0)
    }

    fn add(&self, delivery: &Delivery) {
        let sight = Sight { event: numbered(delivery), attempt: delivery.attempt() };
        self.all().push(sight);
    }

    pub(super) fn count(&self) -> usize {
        self.all().len()
    }

    pub(super) async fn reach(&self, count: usize) {
        until("so many deliveries", DEADLINE, || self.count() >= count).await;
    }

    pub(super) async fn has(&self, number: u32) {
        let seen = || self.all().iter().any(|sight| sight.event.number == number);
        until("the last order is delivered", DEADLINE, seen).await;
    }
}
