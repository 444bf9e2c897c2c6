//! From the backend to a handler: a [`Consumer`] yields [`Delivery`]s, and each is settled once.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    envelope::{Envelope, Metadata, Payload},
    error::BackendError,
    maybe_ready::MaybeReady,
    reason::DeadLetterReason,
};

/// The stream of deliveries to one subscriber.
///
/// Dropping it ends the subscription in this process; deliveries that are not settled go back.
pub trait Consumer: Send {
    /// The next delivery; `None` after [`Cancel::cancel`], when all that had been taken in is handed out.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>>;

    /// A handle by which another task ends this stream.
    fn canceller(&self) -> Arc<dyn Cancel>;
}

/// Ends a [`Consumer`] from outside.
pub trait Cancel: Send + Sync {
    /// Takes in nothing new from now on; what has been taken in is still handed out. Repeating it changes nothing.
    fn cancel(&self);
}

/// An envelope handed to one subscriber, to be settled.
///
/// Settling consumes it, so it cannot be settled twice; one that is dropped unsettled goes back to the backend, which
/// delivers it again.
pub struct Delivery {
    envelope: Envelope,
    attempt: u32,
    tag: u64,
    /// `None` once settled.
    settler: Option<Arc<dyn Settle>>,
}

impl Delivery {
    /// A delivery whose settlement `settler` takes, with whatever number it knows the delivery by.
    ///
    /// `attempt` counts from 1.
    #[inline]
    pub fn new(envelope: Envelope, attempt: u32, settler: Arc<dyn Settle>, tag: u64) -> Self {
        Self { envelope, attempt, tag, settler: Some(settler) }
    }

    /// What was delivered.
    #[inline]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The envelope's metadata.
    #[inline]
    pub fn metadata(&self) -> &Metadata {
        self.envelope.metadata()
    }

    /// The envelope's payload.
    #[inline]
    pub fn payload(&self) -> &Payload {
        self.envelope.payload()
    }

    /// How many times this subscriber has been given the event, this time included: 1 at first.
    #[inline]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Counts one more attempt: the subscriber is given the event again without the backend's help.
    pub fn count_attempt(&mut self) {
        self.attempt = self.attempt.saturating_add(1);
    }

    /// Gives it back before it is dropped, to be delivered again; what is left of it cannot be settled.
    #[inline]
    pub fn give_back(&mut self) {
        if let Some(settler) = self.settler.take() {
            settler.give_back(self);
        }
    }

    /// Gives it back for good: the bus ends, and takes no more of what the handler of this event publishes, so that it
    /// cannot be handled here.
    pub fn leave(mut self) {
        if let Some(settler) = self.settler.take() {
            settler.leave(&self);
        }
    }

    /// The number given to [`Delivery::new`].
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// Whether this process holds it no more: the connection was lost, and others may be handling it. What was to be
    /// tried again is better dropped.
    pub fn is_lost(&self) -> bool {
        self.settler.as_ref().is_some_and(|settler| settler.is_lost(self))
    }

    /// Says what became of the event.
    ///
    /// The backend has taken note when the future completes. Dropping the future before leaves it open whether the
    /// backend delivers the event again.
    #[inline]
    pub fn settle(
        mut self,
        settlement: Settlement,
    ) -> MaybeReady<'static, Result<(), BackendError>> {
        let settler = self.settler.take().expect("settling consumes the delivery");
        settler.settle(&self, settlement)
    }
}

impl Drop for Delivery {
    #[inline]
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("envelope", &self.envelope)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The backend's end of a [`Delivery`].
pub trait Settle: Send + Sync {
    /// Carries out a settlement.
    fn settle(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> MaybeReady<'static, Result<(), BackendError>>;

    /// Takes back a delivery that nobody settled: it is to be delivered again.
    fn give_back(&self, delivery: &Delivery);

    /// Takes back a delivery that cannot be handled here any more, since the bus ends and takes no more of what its handler
    /// publishes: it is not to be delivered again in this process. Unless that is possible, it is given back.
    fn leave(&self, delivery: &Delivery) {
        self.give_back(delivery);
    }

    /// Whether the process holds a delivery no more, so that others may be handling it. Never, by default.
    fn is_lost(&self, _delivery: &Delivery) -> bool {
        false
    }
}

/// What became of a delivery.
#[derive(Debug)]
#[non_exhaustive]
pub enum Settlement {
    /// It is done with: handled, or not wanted by the subscriber's condition.
    Ack,
    /// It failed and is to be delivered again, not before that time has passed. It counts as in
    /// flight while this process holds it, and no longer once the wait is the broker's.
    Retry {
        /// How long to wait.
        after: Duration,
    },
    /// It cannot be handled and is kept as a dead letter.
    DeadLetter(DeadLetterReason),
}
