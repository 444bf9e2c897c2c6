//! Publishing: one task with one channel, by which messages keep their order, and the broker's confirms for them.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    error::Error,
    fmt,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use lapin::{
    Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, interval, sleep, timeout_at},
};

use super::{
    link::Link,
    message::Message,
    topology::{Topology, answered},
};
use crate::{
    config::Unroutable,
    error::BackendError,
    kit::{Backoff, due_after},
};

/// How many messages wait for their turn before publishers have to.
const QUEUE: usize = 1024;

/// How a publisher publishes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// How many messages may be unconfirmed at a time.
    window: usize,
    unroutable: Unroutable,
}

impl Manner {
    /// For events. The client library cannot always tell which of several messages on their way it was that had no
    /// route. Where that has to be known, there is one on its way at a time.
    pub(super) fn events(unroutable: Unroutable) -> Self {
        let window = if unroutable == Unroutable::Error { 1 } else { 2048 };
        Self { window, unroutable }
    }

    /// For messages that have to arrive where they are sent.
    pub(super) fn moves() -> Self {
        Self { window: 1, unroutable: Unroutable::Error }
    }
}

/// Hands messages to the task that publishes them. Clones share the task.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    requests: mpsc::Sender<Request>,
    /// How long the broker may take to confirm, a reconnection in between included.
    limit: Duration,
}

#[derive(Debug)]
struct Request {
    message: Arc<Message>,
    reply: oneshot::Sender<Result<(), BackendError>>,
}

/// A message on its way.
pub(super) struct OnItsWay {
    reply: oneshot::Receiver<Result<(), BackendError>>,
    name: ShortString,
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
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (requests, received) = mpsc::channel(QUEUE);
        let outbox = Outbox {
            link,
            topology,
            manner,
            requests: received,
            again: VecDeque::new(),
            sent: 0,
            warned: HashSet::new(),
        };
        (Self { requests, limit }, outbox.run())
    }

    /// Publishes a message: when this is `Ok`, the broker holds it.
    ///
    /// When the connection is lost before the confirm, it is sent again: it may then be there twice, with one event id.
    /// Dropping the future leaves it open whether it is sent.
    ///
    /// # Errors
    ///
    /// When the limit has passed, which leaves that open too, or when it has no route and that is an error.
    pub(super) async fn publish(&self, message: Message) -> Result<(), BackendError> {
        self.begin(message).await?.confirmed().await
    }

    /// Hands a message over, to be sent after those that were handed over before.
    pub(super) async fn begin(&self, message: Message) -> Result<OnItsWay, BackendError> {
        let (reply, answer) = oneshot::channel();
        let name = message.routing_key.clone();
        let (limit, deadline) = (self.limit, due_after(self.limit));
        let on_its_way = OnItsWay { reply: answer, name, limit, deadline };
        let sending = self.requests.send(Request { message: Arc::new(message), reply });
        match timeout_at(deadline, sending).await {
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
        BackendError::timed_out(format!("publish {}", self.name), self.limit)
    }
}

/// The task's side.
struct Outbox {
    link: Arc<Link>,
    topology: Arc<Topology>,
    manner: Manner,
    requests: mpsc::Receiver<Request>,
    /// What was sent and not confirmed when its channel was lost, in order.
    again: VecDeque<Request>,
    /// How many messages have been sent.
    sent: u64,
    /// The names of the events that nobody listens to, as far as that has been said.
    warned: HashSet<ShortString>,
}

/// How many names of unroutable events are remembered.
const WARNED: usize = 1024;

/// How long a broker that takes messages may leave all of them unconfirmed, before they are sent again by another
/// connection.
const STANDSTILL: Duration = Duration::from_secs(8);

/// Why a channel is not used any more.
enum Broken {
    /// The broker or the connection has ended it, or it stands still.
    Channel(String),
    /// The broker did not take a message (`basic.nack`).
    Refused,
    /// What a message has to pass could not be declared; whoever published it has been told.
    Undeclared,
    /// The bus has been shut down.
    Closed,
}

impl Outbox {
    /// Publishes until there is nobody left who could ask for it, or the link is closed.
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let channel = match self.open().await {
                Ok(channel) => channel,
                Err(Some(error)) => {
                    if error.is_timeout() {
                        self.link.abandon();
                    }
                    tracing::debug!(error = &error as &dyn Error, "cannot publish at the moment");
                    self.forget_the_impatient();
                    sleep(backoff.next_wait()).await;
                    continue;
                }
                Err(None) => return,
            };
            let before = self.sent;
            match self.serve(&channel).await {
                None | Some(Broken::Closed) => return,
                Some(Broken::Channel(error)) => {
                    tracing::debug!(%error, "lost a channel to publish")
                }
                Some(Broken::Refused) => {
                    tracing::warn!("RabbitMQ did not take a message; trying again")
                }
                Some(Broken::Undeclared) => {}
            }
            if self.sent > before + self.again.len() as u64 {
                backoff = Backoff::new();
            }
            sleep(backoff.next_wait()).await;
        }
    }

    /// Opens a channel with confirms, and sees to it that the exchange is there. `None` when the link is closed.
    async fn open(&self) -> Result<Channel, Option<BackendError>> {
        let opening = async {
            let channel = self.link.channel().await?;
            self.topology.declare_exchange(&channel).await?;
            let confirms = channel.confirm_select(ConfirmSelectOptions::default()).await;
            confirms.map_err(|error| BackendError::other("ask for confirms", error))?;
            Ok(channel)
        };
        let opened = match self.link.unblocked().await {
            Ok(()) => answered("open a channel to publish", opening).await,
            Err(closed) => Err(closed.into()),
        };
        opened.map_err(|error| {
            let error = error.into_inner();
            if error.is_closed() { None } else { Some(error) }
        })
    }

    /// While there is no channel, whoever does not wait any more is forgotten.
    fn forget_the_impatient(&mut self) {
        self.again.retain(|request| !request.reply.is_closed());
    }

    /// Publishes by a channel until it is broken. `None` when nobody is left who could ask for more.
    async fn serve(&mut self, channel: &Channel) -> Option<Broken> {
        let mut confirms = FuturesUnordered::new();
        // What was sent and is not confirmed, by its number.
        let mut unconfirmed: BTreeMap<u64, Request> = BTreeMap::new();
        let mut broken = None;
        let (mut looks, mut progress) = (interval(STANDSTILL / 4), Instant::now());
        while broken.is_none() || !confirms.is_empty() {
            let is_blocked = self.link.is_blocked();
            let may_send =
                broken.is_none() && !is_blocked && unconfirmed.len() < self.manner.window;
            tokio::select! {
                biased;
                Some((number, outcome)) = confirms.next(), if !confirms.is_empty() => {
                    progress = Instant::now();
                    let outcome: lapin::Result<_> = outcome;
                    match outcome {
                        Ok(Confirmation::Ack(returned)) => {
                            let returned = returned.map(|it| it.delivery.routing_key);
                            let outcome = self.confirmed(returned);
                            if let Some(request) = unconfirmed.remove(&number) {
                                // Whoever asked may have stopped waiting.
                                let _ = request.reply.send(outcome);
                            }
                        }
                        Ok(Confirmation::Nack(_) | Confirmation::NotRequested) => {
                            broken.get_or_insert(Broken::Refused);
                        }
                        Err(error) => {
                            broken.get_or_insert(Broken::Channel(error.to_string()));
                        }
                    }
                }
                request = next(&mut self.again, &mut self.requests), if may_send => {
                    let request = request?;
                    if request.reply.is_closed() {
                        continue;
                    }
                    if let Some(needed) = &request.message.needs {
                        let providing = self.topology.provide(channel, needed);
                        if let Err(error) = answered("declare a queue", providing).await {
                            let _ = request.reply.send(Err(error.into_inner()));
                            broken = Some(Broken::Undeclared);
                            continue;
                        }
                    }
                    if unconfirmed.is_empty() {
                        progress = Instant::now();
                    }
                    self.sent += 1;
                    let (number, message) = (self.sent, Arc::clone(&request.message));
                    unconfirmed.insert(number, request);
                    let mandatory = self.manner.unroutable != Unroutable::Ignore;
                    confirms.push(async move { (number, send(channel, &message, mandatory).await) });
                }
                ready = self.link.unblocked(), if is_blocked && broken.is_none() => {
                    progress = Instant::now();
                    if ready.is_err() {
                        broken = Some(Broken::Closed);
                    }
                }
                _ = looks.tick(), if !confirms.is_empty() && !is_blocked => {
                    if progress.elapsed() > STANDSTILL {
                        self.link.abandon();
                        broken = Some(Broken::Channel(format!("no confirm within {STANDSTILL:?}")));
                        break;
                    }
                }
            }
        }
        // Before what was to be sent again and has not been, in the order in which it was sent.
        for (_, request) in unconfirmed.into_iter().rev() {
            self.again.push_front(request);
        }
        broken
    }

    /// What a publisher is told of a message that the broker holds, or that had no route.
    fn confirmed(&mut self, returned: Option<ShortString>) -> Result<(), BackendError> {
        let Some(name) = returned else { return Ok(()) };
        match self.manner.unroutable {
            Unroutable::Ignore => Ok(()),
            Unroutable::Warn => {
                if self.warned.len() < WARNED && self.warned.insert(name.clone()) {
                    tracing::warn!(
                        event = %name,
                        "no queue is bound for this event, so RabbitMQ has dropped it: nobody has subscribed to it \
                         yet, or its queues are gone"
                    );
                }
                Ok(())
            }
            Unroutable::Error => {
                self.topology.forget();
                Err(BackendError::other(format!("publish {name}"), Unrouted))
            }
        }
    }
}

/// There was no queue for a message.
#[derive(Debug)]
struct Unrouted;

impl fmt::Display for Unrouted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no queue is bound for it: RabbitMQ has dropped it")
    }
}

impl Error for Unrouted {}

/// Whether a message could not be published because there was no queue for it.
pub(super) fn is_unrouted(error: &BackendError) -> bool {
    error.source().is_some_and(|source| source.is::<Unrouted>())
}

/// The next message to send. `None` when nobody is left who could ask for more. Cancel safe.
async fn next(
    again: &mut VecDeque<Request>,
    requests: &mut mpsc::Receiver<Request>,
) -> Option<Request> {
    match again.pop_front() {
        Some(request) => Some(request),
        None => requests.recv().await,
    }
}

async fn send(
    channel: &Channel,
    message: &Message,
    mandatory: bool,
) -> lapin::Result<Confirmation> {
    let Message { exchange, routing_key, properties, body, .. } = message;
    let options = BasicPublishOptions { mandatory, ..Default::default() };
    let publishing = channel.basic_publish(
        exchange.clone(),
        routing_key.clone(),
        options,
        body,
        properties.clone(),
    );
    publishing.await?.await
}
