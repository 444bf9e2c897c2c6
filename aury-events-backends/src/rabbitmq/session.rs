//! One channel of a subscription, and what is settled by it.

use std::{sync::Arc, time::Duration};

use lapin::types::ShortString;
use tokio::time::sleep;

use super::{
    acks::Acks,
    inbox::Inbox,
    message::{Message, Messages},
    names::{Names, Queues},
    publisher::Publisher,
};
use crate::{
    config::Unroutable,
    delivery::{Delivery, Settle, Settlement},
    error::BackendError,
    kit::{Backoff, IN_PLACE},
    maybe_ready::MaybeReady,
};

/// From its first delivery until the last is settled, a channel of a subscription.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) acks: Arc<Acks>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) desk: Arc<Desk>,
    /// From which the deliveries come.
    pub(super) queue: ShortString,
}

/// What a subscription needs to move a message elsewhere.
pub(super) struct Desk {
    pub(super) bus: Arc<str>,
    pub(super) messages: Messages,
    pub(super) names: Names,
    pub(super) queues: Queues,
    pub(super) moves: Publisher,
}

impl Session {
    /// Moves a message elsewhere, and settles its delivery when it is there: never the other way round.
    ///
    /// What does not succeed is tried again for as long as nobody else can be given the message.
    pub(super) fn settle_by_move(
        &self,
        tag: u64,
        message: Message,
    ) -> impl Future<Output = Result<(), BackendError>> + Send + 'static {
        let Self { acks, inbox, desk, .. } = self.clone();
        async move {
            let (mut backoff, mut is_said) = (Backoff::new(), false);
            while let Err(error) = desk.moves.publish(message.clone()).await {
                if error.is_closed() || acks.is_lost() {
                    inbox.returned();
                    return Err(error);
                }
                if !std::mem::replace(&mut is_said, true) {
                    tracing::warn!(
                        bus = &*desk.bus,
                        subscriber = &*inbox.subscriber,
                        error = &error as &dyn std::error::Error,
                        "could not settle a delivery; trying again"
                    );
                }
                sleep(backoff.next_wait()).await;
            }
            inbox.settled(acks.settle(tag));
            Ok(())
        }
    }

    /// The message that brings a delivery to its queue again, when it has waited.
    fn retry(&self, delivery: &Delivery, after: Duration) -> Result<Message, BackendError> {
        let Desk { messages, names, queues, .. } = &*self.desk;
        let event = messages.event(delivery.envelope(), names.exchange.clone())?;
        let attempt = delivery.attempt().saturating_add(1);
        let retry = event.for_queue(&queues.queue).attempt(attempt);
        Ok(retry.after(after, Unroutable::Error, names))
    }

    fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Message, BackendError> {
        let Desk { messages, names, queues, .. } = &*self.desk;
        let event = messages.event(delivery.envelope(), names.exchange.clone())?;
        Ok(event.dead(&self.inbox.subscriber, reason, delivery.attempt(), &queues.dead))
    }
}

impl Settle for Session {
    fn settle(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> MaybeReady<'static, Result<(), BackendError>> {
        let tag = delivery.tag();
        let message = match settlement {
            Settlement::Ack => {
                self.inbox.settled(self.acks.settle(tag));
                return MaybeReady::ready(Ok(()));
            }
            // A queue of this process alone may be gone when the wait is over.
            Settlement::Retry { after } if after <= IN_PLACE || self.inbox.is_own() => {
                self.inbox.take_back(delivery, Arc::new(self.clone()), after);
                return MaybeReady::ready(Ok(()));
            }
            Settlement::Retry { after } => self.retry(delivery, after),
            Settlement::DeadLetter(reason) => self.dead_letter(delivery, &reason.to_string()),
        };
        match message {
            Ok(message) => MaybeReady::pending(self.settle_by_move(tag, message)),
            Err(error) => {
                self.give_back(delivery);
                MaybeReady::ready(Err(error))
            }
        }
    }

    fn give_back(&self, delivery: &Delivery) {
        self.acks.give_back(delivery.tag());
        self.inbox.returned();
    }
}
