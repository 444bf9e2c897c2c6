//! One channel of a subscription, and what is settled by it.

use std::{sync::Arc, time::Duration};

use lapin::types::ShortString;
use tokio::sync::oneshot;

use super::{
    acks::Acks,
    inbox::Inbox,
    message::Message,
    mover::{Move, Mover, Otherwise},
};
use crate::{
    config::Unroutable,
    delivery::{Delivery, Settle, Settlement},
    error::BackendError,
    kit::IN_PLACE,
    maybe_ready::MaybeReady,
};

/// Which of a subscriber's queues deliveries come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// The one that events are routed to.
    Main,
    /// The one of what was delivered before, and may have ended the process that had it.
    Suspects,
}

/// From its first delivery until the last is settled, a channel of a subscription.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) acks: Arc<Acks>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) mover: Arc<Mover>,
    /// From which the deliveries come.
    pub(super) queue: ShortString,
    pub(super) lane: Lane,
}

impl Session {
    /// Has a delivery handled again by its queue, when it has waited on the broker.
    fn retry(&self, delivery: &Delivery, after: Duration) -> Settled {
        let message = self.message(delivery.tag()).map(|message| {
            let attempt = delivery.attempt().saturating_add(1);
            message
                .known_as(delivery.metadata())
                .for_queue(&self.mover.queues.queue)
                .attempt(attempt)
                .after(after, Unroutable::Error, &self.mover.names)
        });
        let otherwise = Otherwise::WaitInPlace {
            envelope: delivery.envelope().clone(),
            attempt: delivery.attempt(),
            after,
        };
        self.settle_by_move(delivery.tag(), message, otherwise)
    }

    fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Settled {
        let message = self.message(delivery.tag()).map(|message| {
            let message = message.known_as(delivery.metadata());
            self.mover.dead_letter(message, reason, delivery.attempt())
        });
        self.settle_by_move(delivery.tag(), message, Otherwise::Reject)
    }

    /// A delivery's message as it came.
    fn message(&self, tag: u64) -> Option<Message> {
        self.acks.message(tag).map(|delivery| Message::received(&delivery))
    }

    fn settle_by_move(&self, tag: u64, message: Option<Message>, otherwise: Otherwise) -> Settled {
        self.inbox.handed_in(self.lane);
        let Some(message) = message else {
            // It has been settled before.
            self.inbox.settled(None);
            return MaybeReady::ready(Ok(()));
        };
        let (reply, answer) = oneshot::channel();
        let session = Arc::new(self.clone());
        self.mover.hand_over(Move { session, tag, message, otherwise, reply: Some(reply) });
        MaybeReady::pending(async { answer.await.unwrap_or_else(|_| Err(BackendError::closed())) })
    }
}

/// Of a settlement: ready when the broker has it.
type Settled = MaybeReady<'static, Result<(), BackendError>>;

impl Settle for Session {
    fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Settled {
        let tag = delivery.tag();
        match settlement {
            Settlement::Ack => self.inbox.handled(self.lane, self.acks.settle(tag)),
            // A queue of this process alone may be gone when the wait is over.
            Settlement::Retry { after } if after <= IN_PLACE || self.inbox.is_own() => {
                self.inbox.take_back(delivery, &Arc::new(self.clone()), after);
            }
            Settlement::Retry { after } => return self.retry(delivery, after),
            Settlement::DeadLetter(reason) => {
                return self.dead_letter(delivery, &reason.to_string());
            }
        }
        MaybeReady::ready(Ok(()))
    }

    fn give_back(&self, delivery: &Delivery) {
        let key = self.acks.give_back(delivery.tag());
        // Of one whose channel was lost it is not known whether it has begun.
        let failed = u32::from(!self.acks.is_lost());
        self.inbox.dropped(self.lane, key, delivery.attempt().saturating_add(failed));
    }

    fn is_lost(&self, delivery: &Delivery) -> bool {
        let key = || self.acks.key(delivery.tag());
        self.acks.is_lost() && !self.inbox.is_own() && !self.inbox.has_again(key())
    }
}
