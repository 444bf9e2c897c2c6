//! One subscription, kept alive: a channel, its queue and its consumer, made again whenever one of them is lost.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    acks::{Acks, Key, LINGER},
    declare::{DeclareError, answered},
    inbox::{Inbox, Intake, Waiting},
    link::Link,
    message::{Message, passage},
    session::{Desk, Session},
    topology::Topology,
};
use crate::{
    config::ExchangeType,
    envelope::{EventName, Topic},
    error::{BackendError, WithCauses},
    kit::Backoff,
    maybe_ready::BoxFuture,
};

/// The name of the one consumer of a channel.
const TAG: &str = "aury";

/// How many deliveries are taken in before other tasks have the thread.
const TURN: usize = 64;

/// What keeps one subscription alive.
pub(super) struct Subscription {
    pub(super) link: Arc<Link>,
    pub(super) topology: Arc<Topology>,
    pub(super) desk: Arc<Desk>,
    pub(super) topic: Topic,
    pub(super) prefetch: u32,
    pub(super) inbox: Arc<Inbox>,
}

/// A channel by which deliveries come.
pub(super) struct Live {
    session: Arc<Session>,
    consumer: Consumer,
}

/// How a channel ended.
enum End {
    /// Nobody wants more from it.
    Done,
    /// It is lost, for that reason.
    Lost(String),
}

type Settling = BoxFuture<'static, Result<(), BackendError>>;

impl Subscription {
    /// Declares the queue and begins to consume: what is published when this is done reaches the subscriber.
    pub(super) async fn establish(&self) -> Result<Live, DeclareError> {
        self.link.unblocked().await?;
        answered("begin to consume", self.begin()).await
    }

    async fn begin(&self) -> Result<Live, DeclareError> {
        let queue = self.declare().await?;
        let channel = self.link.channel().await?;
        let prefetch = u16::try_from(self.prefetch).unwrap_or(u16::MAX);
        let qos = channel.basic_qos(prefetch, BasicQosOptions::default()).await;
        qos.map_err(|error| self.passing("set the prefetch", error))?;
        let acks = Arc::new(Acks::new(channel.clone(), self.prefetch));
        let (inbox, desk) = (Arc::clone(&self.inbox), Arc::clone(&self.desk));
        let session = Arc::new(Session { acks, inbox, desk, queue: queue.clone() });
        let options = BasicConsumeOptions::default();
        let consuming =
            channel.basic_consume(queue.clone(), TAG.into(), options, FieldTable::default()).await;
        let consumer = consuming.map_err(|error| self.passing("consume", error))?;
        self.inbox.begin(Arc::clone(&session));
        Ok(Live { session, consumer })
    }

    async fn declare(&self) -> Result<ShortString, DeclareError> {
        let Desk { queues, .. } = &*self.desk;
        if self.inbox.is_own() {
            let queue = queues.of_this_process().map_err(DeclareError::Final)?;
            self.topology.declare_own(&self.link, &queue, &self.topic).await?;
            return Ok(queue);
        }
        self.topology.declare_shared(&self.link, queues, &self.topic).await?;
        Ok(queues.queue.clone())
    }

    fn passing(&self, operation: &str, error: lapin::Error) -> DeclareError {
        let operation = format!("{operation} for {}", self.inbox.subscriber);
        DeclareError::Passing(BackendError::other(operation, error))
    }

    /// Takes deliveries in until nobody wants more, by new channels when one is lost.
    pub(super) async fn run(self, mut live: Live) {
        // However it ends.
        let _completion = Completion(Arc::clone(&self.inbox));
        loop {
            let since = Instant::now();
            match self.serve(live).await {
                End::Done => return,
                End::Lost(why) => {
                    self.lose(&why);
                    // A queue that is lost again and again is not declared in a tight loop.
                    if since.elapsed() < Duration::from_secs(1) {
                        sleep(Backoff::new().next_wait()).await;
                    }
                }
            }
            live = match self.restore().await {
                Some(live) => live,
                None => return,
            };
            tracing::info!(
                bus = &*self.desk.bus,
                subscriber = &*self.inbox.subscriber,
                queue = %self.desk.queues.queue,
                "the subscription is live again"
            );
        }
    }

    fn lose(&self, why: &str) {
        let Desk { bus, queues, .. } = &*self.desk;
        self.inbox.lose(format!("the subscription was interrupted: {why}"));
        // That the connection is lost is said elsewhere.
        if !self.link.is_blocked() {
            tracing::warn!(
                bus = &**bus,
                subscriber = &*self.inbox.subscriber,
                queue = %queues.queue,
                why,
                "a subscription was interrupted"
            );
        }
    }

    /// Makes the subscription live again. `None` when nobody wants it any more.
    async fn restore(&self) -> Option<Live> {
        let (mut backoff, mut said) = (Backoff::new(), None);
        let mut unwanted = pin!(self.inbox.intake_beyond(Intake::Open));
        loop {
            let error = tokio::select! {
                () = &mut unwanted => return None,
                live = self.establish() => match live {
                    Ok(live) => return Some(live),
                    Err(DeclareError::Final(error)) if error.is_closed() => return None,
                    Err(error) => error.into_inner(),
                }
            };
            let text = WithCauses(&error).to_string();
            if !self.link.is_blocked() && said.as_ref() != Some(&text) {
                tracing::warn!(
                    bus = &*self.desk.bus,
                    subscriber = &*self.inbox.subscriber,
                    error = &error as &dyn std::error::Error,
                    "cannot make a subscription live again; trying"
                );
                self.inbox.lose(&*text);
                said = Some(text);
            }
            tokio::select! {
                () = &mut unwanted => return None,
                () = sleep(backoff.next_wait()) => {}
            }
        }
    }

    /// Takes in the deliveries of a channel until it is lost, or until nobody wants more and all are settled.
    async fn serve(&self, Live { session, mut consumer }: Live) -> End {
        let acks = &session.acks;
        let mut stage = Intake::Open;
        let mut settling: FuturesUnordered<Settling> = FuturesUnordered::new();
        let mut flush_at = None;
        // Whether the broker may send more.
        let mut is_consuming = true;
        loop {
            if stage > Intake::Open && !is_consuming && settling.is_empty() && acks.is_over()
                || stage == Intake::Closed
            {
                acks.flush();
                return End::Done;
            }
            let due = flush_at.unwrap_or_else(Instant::now);
            tokio::select! {
                delivery = consumer.next(), if is_consuming => {
                    let mut next = Some(delivery);
                    for _ in 0..TURN {
                        match next {
                            Some(Some(Ok(delivery))) => self.take_in(&session, delivery, &mut settling),
                            Some(Some(Err(error))) => return End::Lost(error.to_string()),
                            Some(None) if stage > Intake::Open => {
                                is_consuming = false;
                                self.inbox.complete();
                                break;
                            }
                            Some(None) => {
                                return End::Lost(format!(
                                    "the broker has ended the consumer of {}, as it does when a queue is deleted",
                                    self.desk.queues.queue
                                ));
                            }
                            None => break,
                        }
                        next = consumer.next().now_or_never();
                    }
                    if let Some(Some(Ok(delivery))) = next {
                        self.take_in(&session, delivery, &mut settling);
                    }
                }
                () = self.inbox.intake_beyond(stage) => {
                    stage = self.inbox.intake();
                    if is_consuming && let Err(error) = self.cancel(acks.channel()).await {
                        return End::Lost(error.to_string());
                    }
                }
                () = acks.changed(), if flush_at.is_none() => flush_at = Some(Instant::now() + LINGER),
                () = sleep_until(due), if flush_at.is_some() => {
                    flush_at = None;
                    acks.flush();
                }
                // What did not succeed has been said, and goes back to the broker with the channel.
                Some(_) = settling.next(), if !settling.is_empty() => {}
            }
        }
    }

    /// Asks for no more. What is on its way still comes, and then the end.
    async fn cancel(&self, channel: &Channel) -> Result<(), BackendError> {
        let cancelling = async {
            let cancelled = channel.basic_cancel(TAG.into(), BasicCancelOptions::default()).await;
            cancelled.map_err(|error| self.passing("cancel the consumer", error))
        };
        answered("cancel the consumer", cancelling).await.map_err(DeclareError::into_inner)
    }

    /// Takes in a delivery: it is handed out, or, when it is no event, put away.
    fn take_in(
        &self,
        session: &Arc<Session>,
        delivery: Delivery,
        settling: &mut FuturesUnordered<Settling>,
    ) {
        let Session { acks, inbox, desk, .. } = &**session;
        let (tag, passage) = (delivery.delivery_tag, passage(&delivery));
        match desk.messages.read(&delivery) {
            Ok(envelope) => {
                let key = Key { event: envelope.metadata().id(), copy: passage.copy };
                let redelivered = delivery.redelivered.then(|| key.clone());
                acks.opened(tag, Some(key));
                if inbox.intake() >= Intake::Abandoned {
                    acks.give_back(tag);
                } else if self.is_wanted(&delivery, envelope.metadata().name()) {
                    let (attempt, session) = (passage.attempt, Arc::clone(session));
                    inbox.take_in(Waiting { envelope, attempt, tag, redelivered, session });
                } else {
                    acks.settle(tag);
                }
            }
            Err(error) => {
                let reason = format!("the message is no event: {}", WithCauses(&error));
                tracing::error!(
                    bus = &*desk.bus,
                    subscriber = &*inbox.subscriber,
                    event = %delivery.routing_key,
                    "{reason}; it is kept as a dead letter"
                );
                acks.opened(tag, None);
                inbox.accept();
                let letter = Message::received(&delivery).dead(
                    &inbox.subscriber,
                    &reason,
                    passage.attempt,
                    &desk.queues.dead,
                );
                settling.push(Box::pin(session.settle_by_move(tag, letter)));
            }
        }
    }

    /// Whether a message is one that the subscriber listens to. Others reach its queue by a `fanout` exchange, or by a
    /// binding of former times.
    fn is_wanted(&self, delivery: &Delivery, name: &EventName) -> bool {
        let came_by_exchange = delivery.exchange == self.topology.names.exchange;
        let is_routed = self.topology.exchange_type() != ExchangeType::Fanout;
        !came_by_exchange
            || self.topic.matches(name)
            || is_routed && is_named(&self.topic, delivery.routing_key.as_str())
    }
}

/// Whether a routing key is the name of an event of the topic.
fn is_named(topic: &Topic, routing_key: &str) -> bool {
    EventName::parse(routing_key).is_ok_and(|name| topic.matches(&name))
}

/// Tells an inbox that nothing more comes in, when it is dropped.
struct Completion(Arc<Inbox>);

impl Drop for Completion {
    fn drop(&mut self) {
        self.0.complete();
    }
}
