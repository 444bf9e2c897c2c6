//! Publishing: tasks with a channel each, and the broker's confirms for what they have sent.
//!
//! Messages go out by one channel, pipelined and in order. The broker answers for each of them, with one exception: when
//! it refuses one for want of a right, or because it is too large, it closes the channel, and all that was under way is
//! lost with it. Then the culprit is singled out by the broker's words, and what is like it goes, one at a time, by a
//! second channel, where a refusal hits nothing else. See [`Refusals`].

mod header_size;
mod in_flight;
mod outbox;
mod refusals;

use std::{sync::Arc, time::Duration};

use lapin::types::ShortString;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use self::{
    outbox::{Lane, Outbox},
    refusals::Refusals,
};
use super::{link::Link, message::Message, topology::Topology};
use crate::{config::Unroutable, error::BackendError, kit::due_after};

/// How many messages wait for their turn before publishers have to.
const QUEUE: usize = 1024;

/// How a publisher publishes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// How many messages may be unconfirmed at a time.
    window: usize,
    unroutable: Unroutable,
    /// Whether they go to the exchange of the bus, which is declared for them.
    are_events: bool,
}

impl Manner {
    /// For events.
    pub(super) fn events(unroutable: Unroutable) -> Self {
        Self { window: 2048, unroutable, are_events: true }
    }

    /// For messages that have to arrive where they are sent.
    pub(super) fn moves() -> Self {
        Self { window: 1024, unroutable: Unroutable::Error, are_events: false }
    }
}

/// Hands messages to the tasks that publish them. Clones share these.
#[derive(Clone)]
pub(super) struct Publisher {
    requests: mpsc::Sender<Request>,
    link: Arc<Link>,
    /// How long the broker may take to confirm, a reconnection in between included.
    limit: Duration,
}

struct Request {
    message: Arc<Message>,
    reply: oneshot::Sender<Result<(), BackendError>>,
    /// How often the broker has closed the channel or the connection while this was under way.
    closures: u8,
    /// Whether what it needs has been declared for it, so that it is not tried for ever.
    was_provided: bool,
    /// Whether it is sent again since it was not taken.
    was_refused: bool,
}

impl Request {
    fn answer(self, outcome: Result<(), BackendError>) {
        // Whoever asked may have stopped waiting.
        let _ = self.reply.send(outcome);
    }
}

/// A message on its way.
pub(super) struct OnItsWay {
    reply: oneshot::Receiver<Result<(), BackendError>>,
    name: ShortString,
    link: Arc<Link>,
    limit: Duration,
    deadline: Instant,
}

impl Publisher {
    /// A publisher, and what has to run in a task for it to publish.
    pub(super) fn new(
        link: Arc<Link>,
        topology: Arc<Topology>,
        manner: Manner,
        limit: Duration,
    ) -> (Self, [Outbox; 2]) {
        let (requests, received) = mpsc::channel(QUEUE);
        // More than can be under way when a channel is closed.
        let (suspects, suspected) = mpsc::channel(2 * manner.window);
        let refusals = Arc::<Refusals>::default();
        let outbox = |lane, requests| {
            Outbox::new(
                Arc::clone(&link),
                Arc::clone(&topology),
                manner,
                lane,
                requests,
                Arc::clone(&refusals),
            )
        };
        let main = outbox(Lane::Main { suspects }, received);
        let careful = outbox(Lane::Careful, suspected);
        (Self { requests, link: Arc::clone(&link), limit }, [main, careful])
    }

    /// Publishes a message: when this is `Ok`, the broker holds it.
    ///
    /// When the connection is lost before the confirm, it is sent again: it may then be there twice, with one event id.
    /// Dropping the future leaves it open whether it is sent.
    ///
    /// # Errors
    ///
    /// When the broker refuses it, at once; when it has no route and that is an error; and when the limit has passed,
    /// which leaves open whether the broker holds it.
    pub(super) async fn publish(&self, message: Message) -> Result<(), BackendError> {
        self.begin(message).await?.confirmed().await
    }

    /// Hands a message over, to be sent after those that were handed over before.
    pub(super) async fn begin(&self, message: Message) -> Result<OnItsWay, BackendError> {
        let (reply, answer) = oneshot::channel();
        let name = message.name();
        header_size::check(&message)?;
        let (limit, deadline) = (self.limit, due_after(self.limit));
        let link = Arc::clone(&self.link);
        let on_its_way = OnItsWay { reply: answer, name, link, limit, deadline };
        let request = Request {
            message: Arc::new(message),
            reply,
            closures: 0,
            was_provided: false,
            was_refused: false,
        };
        match timeout_at(deadline, self.requests.send(request)).await {
            Ok(Ok(())) => Ok(on_its_way),
            Ok(Err(_)) => Err(BackendError::closed()),
            Err(_) => Err(on_its_way.timed_out()),
        }
    }
}

impl OnItsWay {
    /// Waits for the broker's confirm; see [`Publisher::publish`].
    pub(super) async fn confirmed(mut self) -> Result<(), BackendError> {
        match timeout_at(self.deadline, &mut self.reply).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(BackendError::closed()),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// The broker's answer, if it has come.
    pub(super) fn try_confirmed(&mut self) -> Option<Result<(), BackendError>> {
        match self.reply.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(BackendError::closed())),
        }
    }

    fn timed_out(&self) -> BackendError {
        let operation = format!("publish {}", self.name);
        match self.link.problem() {
            Some(problem) => BackendError::not_connected(
                format!("{operation} within {:?}", self.limit),
                Some(problem.into()),
            ),
            None => BackendError::timed_out(operation, self.limit),
        }
    }
}
