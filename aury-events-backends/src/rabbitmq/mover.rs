//! Moves messages elsewhere: to wait, to the dead letters, to the suspects.
//!
//! A message is moved by publishing it there, byte for byte, and then acknowledging the original: a crash in between
//! leaves both, never none. Moves are pipelined, and nobody waits for them: as many are under way as there are unsettled
//! deliveries. What the broker refuses for good takes another way, so that it holds up nothing else.

use std::{error::Error, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    inbox::{Inbox, Intake, Waiting},
    message::{Message, Messages},
    names::{Names, Queues},
    publisher::Publisher,
    session::Session,
};
use crate::{
    envelope::Envelope,
    error::{BackendError, WithCauses},
    kit::Backoff,
};

/// What a subscription needs to move a message elsewhere.
pub(super) struct Mover {
    pub(super) bus: Arc<str>,
    pub(super) subscriber: Arc<str>,
    pub(super) messages: Messages,
    pub(super) names: Names,
    pub(super) queues: Queues,
    pub(super) moves: Publisher,
    /// To [`Moving`]. No more wait here than there are unsettled deliveries.
    orders: mpsc::UnboundedSender<Move>,
}

/// A move that is to be made.
pub(super) struct Move {
    pub(super) session: Arc<Session>,
    /// The number of the delivery on its channel.
    pub(super) tag: u64,
    pub(super) message: Message,
    pub(super) otherwise: Otherwise,
    /// To be told when the delivery is settled; `None` if nobody wants to know.
    pub(super) reply: Option<oneshot::Sender<Result<(), BackendError>>>,
}

/// What becomes of a delivery whose move the broker refuses for good.
pub(super) enum Otherwise {
    /// Its queue puts it away to the dead letters, which needs no publish.
    Reject,
    /// It waits here.
    WaitInPlace { envelope: Envelope, attempt: u32, after: Duration },
    /// It is handed out as any other delivery.
    HandOut(Waiting),
}

/// The moves of one subscription, to be carried out in a task.
pub(super) struct Moving {
    inbox: Arc<Inbox>,
    orders: mpsc::UnboundedReceiver<Move>,
}

impl Mover {
    pub(super) fn new(
        bus: Arc<str>,
        messages: Messages,
        names: Names,
        queues: Queues,
        moves: Publisher,
        inbox: &Arc<Inbox>,
    ) -> (Arc<Self>, Moving) {
        let (orders, received) = mpsc::unbounded_channel();
        let subscriber = Arc::clone(&inbox.subscriber);
        let mover = Self { bus, subscriber, messages, names, queues, moves, orders };
        (Arc::new(mover), Moving { inbox: Arc::clone(inbox), orders: received })
    }

    /// Makes a message a dead letter of the subscriber.
    pub(super) fn dead_letter(&self, message: Message, reason: &str, attempts: u32) -> Message {
        message.dead(&self.subscriber, reason, attempts, &self.queues.dead)
    }

    /// Has a move made soon. The delivery counts as in flight until then.
    pub(super) fn hand_over(&self, order: Move) {
        if let Err(mpsc::error::SendError(order)) = self.orders.send(order) {
            // The bus has been closed: it goes back with its channel.
            order.session.inbox.returned();
        }
    }
}

impl Moving {
    /// Makes moves until `over`, and then those that have been ordered; or until the bus is closed.
    pub(super) async fn run(&mut self, over: impl Future<Output = ()>) {
        let mut under_way = FuturesUnordered::new();
        let inbox = Arc::clone(&self.inbox);
        let mut closed = pin!(inbox.intake_beyond(Intake::Abandoned));
        let (mut over, mut is_over) = (pin!(over), false);
        while !is_over || !under_way.is_empty() || !self.orders.is_empty() {
            tokio::select! {
                Some(order) = self.orders.recv() => under_way.push(order.carry_out()),
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                () = &mut over, if !is_over => is_over = true,
                () = &mut closed => return,
            }
        }
    }
}

/// What became of a message that was to be published elsewhere.
enum Published {
    Done,
    /// The broker refuses it for good.
    Refused(BackendError),
    /// Its channel was lost, so that the broker delivers it again.
    Lost(BackendError),
    /// The bus has been closed.
    Closed(BackendError),
}

/// Gives a delivery back to the broker when it is dropped.
struct Returning(Option<(Arc<Session>, u64)>);

impl Returning {
    fn done(mut self) -> Arc<Session> {
        self.0.take().expect("this is called once").0
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        if let Some((session, tag)) = &self.0 {
            session.inbox.given_back(session.acks.give_back(*tag));
        }
    }
}

impl Move {
    async fn carry_out(self) {
        // Until then, it counts as in flight; also when this is dropped before.
        let returning = Returning(Some((Arc::clone(&self.session), self.tag)));
        // A panic over one message is no matter of the others.
        let publishing = AssertUnwindSafe(self.publish()).catch_unwind().await;
        let published = publishing.unwrap_or_else(|_| {
            let error = BackendError::other("settle a delivery", "the task that settles panicked");
            Published::Refused(error)
        });
        let session = returning.done();
        match published {
            Published::Done => {
                let key = session.acks.settle(self.tag);
                match self.otherwise {
                    Otherwise::HandOut(_) => session.inbox.suspected(key),
                    Otherwise::Reject | Otherwise::WaitInPlace { .. } => session.inbox.settled(key),
                }
                self.answer(Ok(()));
            }
            Published::Refused(error) => self.take_another_way(&error),
            Published::Lost(error) => {
                let key = session.acks.give_back(self.tag);
                session.inbox.move_failed(key);
                self.answer(Err(error));
            }
            Published::Closed(error) => {
                session.inbox.returned();
                self.answer(Err(error));
            }
        }
    }

    /// Publishes the message where it is moved to, until that is done or makes no sense any more.
    async fn publish(&self) -> Published {
        let (mut backoff, mut is_said) = (Backoff::new(), false);
        loop {
            let published = self.session.mover.moves.publish(self.message.clone()).await;
            let Err(error) = published else { return Published::Done };
            if error.is_closed() {
                return Published::Closed(error);
            }
            if error.is_refused() || error.is_too_large() {
                return Published::Refused(error);
            }
            if self.session.acks.is_lost() && !self.session.inbox.is_own() {
                return Published::Lost(error);
            }
            if !std::mem::replace(&mut is_said, true) {
                self.warn(&error, "could not settle a delivery; trying again");
            }
            sleep(backoff.next_wait()).await;
        }
    }

    fn answer(self, outcome: Result<(), BackendError>) {
        if let Some(reply) = self.reply {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(outcome);
        }
    }

    fn take_another_way(self, error: &BackendError) {
        let Self { session, tag, message, otherwise, reply } = self;
        let inbox = &session.inbox;
        let name = message.name();
        let done = match otherwise {
            Otherwise::Reject if inbox.is_own() => {
                inbox.settled(session.acks.settle(tag));
                "the dead letter is lost"
            }
            Otherwise::Reject => {
                inbox.settled(session.acks.reject(tag));
                "its queue has made it a dead letter without a reason"
            }
            Otherwise::WaitInPlace { envelope, attempt, after } => {
                inbox.wait_in_place(&session, tag, envelope, attempt, after);
                "it waits in this process"
            }
            Otherwise::HandOut(waiting) => {
                inbox.take_in_anyway(waiting);
                "it is handled beside others"
            }
        };
        let refusal = format!("RabbitMQ refused to settle {name}: {}", WithCauses(error));
        inbox.note_refusal(&*refusal);
        tracing::error!(
            bus = &*session.mover.bus,
            subscriber = &*session.mover.subscriber,
            event = %name,
            queue = %session.queue,
            error = error as &dyn Error,
            "RabbitMQ refused to settle a delivery; {done}"
        );
        if let Some(reply) = reply {
            let _ = reply.send(Ok(()));
        }
    }

    fn warn(&self, error: &BackendError, what: &str) {
        tracing::warn!(
            bus = &*self.session.mover.bus,
            subscriber = &*self.session.mover.subscriber,
            event = %self.message.name(),
            queue = %self.session.queue,
            error = error as &dyn Error,
            "{what}"
        );
    }
}
