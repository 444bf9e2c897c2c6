//! Takes what has waited on the broker and forwards it.
//!
//! Every process of the bus does so, and the broker shares the messages out among them. A message is acknowledged when
//! the broker has confirmed it where it went: a process that dies loses none, and doubles those that it was about to
//! acknowledge.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
    },
    types::FieldTable,
};
use tokio::time::sleep;

use super::{
    declare::{DeclareError, answered, denied},
    delays::Wait,
    link::{Link, channel},
    message::delivery_headers,
    names::short,
    publisher::Publisher,
    topology::Topology,
};
use crate::{
    config::Unroutable,
    error::{BackendError, WithCauses},
    kit::{Backoff, OnceAMinute, lock},
};

/// How many messages one process forwards at a time.
const PREFETCH: u16 = 256;

/// How long a process waits that may not forward, before it tries again: somebody has to change something first.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// How long one process keeps a message that it may not move, before another one can have it.
const REFUSED: Duration = Duration::from_secs(5);

/// The longest wait before a message that was refused is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Takes what has waited and forwards it.
pub(super) struct Forwarder {
    pub(super) bus: Arc<str>,
    pub(super) link: Arc<Link>,
    pub(super) topology: Arc<Topology>,
    pub(super) moves: Publisher,
    pub(super) problem: Problem,
}

/// Why a process does not forward at the moment, if it does not.
#[derive(Debug, Clone, Default)]
pub(super) struct Problem(Arc<Mutex<Option<Arc<str>>>>);

impl Problem {
    pub(super) fn get(&self) -> Option<Arc<str>> {
        lock(&self.0).clone()
    }

    fn set(&self, problem: Option<Arc<str>>) {
        *lock(&self.0) = problem;
    }
}

/// What becomes of a message that has waited.
enum Fate {
    /// It is elsewhere.
    Moved,
    /// It can go nowhere, for that reason: it is set aside.
    Stranded(String),
    /// Nothing is known; the broker delivers it again.
    Again,
}

impl Forwarder {
    /// Forwards until the link is closed: to be run in a task.
    pub(super) async fn run(&self) {
        let mut backoff = Backoff::new();
        let mut said: Option<String> = None;
        loop {
            let begun = self.begin().await;
            let error = match begun {
                Ok((channel, consumer)) => {
                    self.problem.set(None);
                    said = None;
                    backoff = Backoff::new();
                    self.serve(&channel, consumer).await;
                    let _ = channel.close(200, "no more to forward".into()).await;
                    sleep(backoff.next_wait()).await;
                    continue;
                }
                Err(DeclareError::Final(error)) if error.is_closed() => return,
                Err(error) => error,
            };
            let pause = match &error {
                DeclareError::Final(_) => AFTER_REFUSAL,
                DeclareError::Passing(_) => backoff.next_wait(),
            };
            let error = error.into_inner();
            let text = WithCauses(&error).to_string();
            if self.link.is_up() && said.as_ref() != Some(&text) {
                let (bus, queue) = (&*self.bus, self.topology.names.waited());
                tracing::warn!(
                    bus,
                    %queue,
                    error = text,
                    "this process does not forward what has waited on the broker; trying again"
                );
                self.problem.set(Some(format!("cannot forward what has waited: {text}").into()));
                said = Some(text);
            }
            sleep(pause).await;
        }
    }

    async fn begin(&self) -> Result<(Channel, Consumer), DeclareError> {
        self.link.ready().await?;
        let beginning = async {
            let queue = self.topology.names.waited();
            self.topology.declare_waited(&self.link).await?;
            let channel = channel(&self.link).await?;
            let failed = |error: lapin::Error| match denied(&error) {
                Some(said) => DeclareError::Final(BackendError::refused(
                    format!("RabbitMQ refused to let us consume from {queue}"),
                    format!("{said}. The user needs the right to read the queue"),
                )),
                None => DeclareError::Passing(BackendError::other(
                    format!("consume from the queue {queue}"),
                    error,
                )),
            };
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.map_err(failed)?;
            let (tag, options) = (short("aury-forwarder")?, BasicConsumeOptions::default());
            let consuming =
                channel.basic_consume(queue.clone(), tag, options, FieldTable::default());
            let consumer = consuming.await.map_err(failed)?;
            Ok((channel, consumer))
        };
        answered("begin to forward what has waited", beginning).await
    }

    /// Forwards what one consumer is given, until that has ended.
    async fn serve(&self, channel: &Channel, mut consumer: Consumer) {
        let said = OnceAMinute::default();
        let mut moving = FuturesUnordered::new();
        loop {
            let settled = tokio::select! {
                delivery = consumer.next() => match delivery {
                    Some(Ok(delivery)) => {
                        let said = &said;
                        moving.push(async move {
                            let tag = delivery.delivery_tag;
                            (tag, self.forward(delivery, said).await)
                        });
                        continue;
                    }
                    Some(Err(_)) | None => return,
                },
                Some((tag, fate)) = moving.next(), if !moving.is_empty() => {
                    settle(channel, tag, fate).await
                }
            };
            if settled.is_err() {
                return;
            }
        }
    }

    async fn forward(&self, delivery: Delivery, said: &OnceAMinute) -> Fate {
        let Topology { names, .. } = &*self.topology;
        let Some(wait) = Wait::of(&delivery, names) else {
            return Fate::Stranded(
                "it says neither where it goes nor when: the framework has not put it there"
                    .to_owned(),
            );
        };
        let sent = match wait.left() {
            Some(left) => self.moves.publish(wait.again(&delivery, left, names)).await,
            None => self.moves.publish(wait.over(&delivery)).await,
        };
        let error = match sent {
            Ok(()) => return Fate::Moved,
            Err(error) => error,
        };
        if wait.left().is_some() {
            return cannot_move(error).await;
        }
        if error.is_unroutable() {
            return self.without_route(&delivery, &wait, &error, said).await;
        }
        if error.is_too_large() {
            return Fate::Stranded(error.to_string());
        }
        if error.is_refused() {
            return self.refused(&delivery, wait, &error, said).await;
        }
        Fate::Again
    }

    /// What becomes of a message that is due and has no route.
    async fn without_route(
        &self,
        delivery: &Delivery,
        wait: &Wait,
        error: &BackendError,
        said: &OnceAMinute,
    ) -> Fate {
        let key = wait.key();
        if !wait.is_event() {
            return self.dead_letter(delivery, wait).await;
        }
        match wait.unroutable {
            Unroutable::Ignore => Fate::Moved,
            Unroutable::Warn => {
                if said.is_due(key.as_str()) {
                    tracing::warn!(
                        bus = &*self.bus,
                        event = %key,
                        "no queue is bound for this event now that its delay is over, so it was dropped: nobody has \
                         subscribed to it yet, or its queues are gone"
                    );
                }
                Fate::Moved
            }
            Unroutable::Error => Fate::Stranded(error.to_string()),
        }
    }

    /// Keeps a retry whose subscriber's queue is gone, where the subscriber's dead letters are.
    async fn dead_letter(&self, delivery: &Delivery, wait: &Wait) -> Fate {
        let key = wait.key();
        let Some((subscriber, queues)) = self.topology.names.subscriber_of(key.as_str()) else {
            return Fate::Stranded(format!("{key} is no queue of a subscriber"));
        };
        let reason = format!("the queue {key} was gone when this was to be tried again");
        // The attempt that it was to be has not begun.
        let attempts = delivery_headers(delivery).attempt.saturating_sub(1).max(1);
        let letter = wait.over(delivery).dead(&subscriber, &reason, attempts, &queues.dead);
        tracing::warn!(bus = &*self.bus, subscriber, queue = %key, "{reason}; it is kept as a dead letter");
        match self.moves.publish(letter).await {
            Ok(()) => Fate::Moved,
            Err(error) => cannot_move(error).await,
        }
    }

    /// Has a message wait that the broker does not take where it goes: a queue may have room again, a right be given.
    async fn refused(
        &self,
        delivery: &Delivery,
        mut wait: Wait,
        error: &BackendError,
        said: &OnceAMinute,
    ) -> Fate {
        let pause = Duration::from_secs(5 << wait.refused.min(10)).min(LONGEST_PAUSE);
        wait.refused = wait.refused.saturating_add(1);
        if said.is_due(wait.key().as_str()) {
            tracing::warn!(
                bus = &*self.bus,
                to = %wait.key(),
                %error,
                "cannot forward what has waited; trying again after {pause:?}"
            );
        }
        match self.moves.publish(wait.again(delivery, pause, &self.topology.names)).await {
            Ok(()) => Fate::Moved,
            Err(error) => cannot_move(error).await,
        }
    }
}

/// What becomes of a message that cannot even wait.
async fn cannot_move(error: BackendError) -> Fate {
    if error.is_too_large() {
        return Fate::Stranded(error.to_string());
    }
    if error.is_refused() {
        // Another process may have the right, but not in a tight loop.
        sleep(REFUSED).await;
    }
    Fate::Again
}

/// Tells the broker what became of a message.
async fn settle(channel: &Channel, tag: u64, fate: Fate) -> lapin::Result<()> {
    match fate {
        Fate::Moved => channel.basic_ack(tag, BasicAckOptions { multiple: false }).await,
        Fate::Stranded(reason) => {
            tracing::error!(reason, "cannot forward a message that has waited; it is set aside");
            channel.basic_reject(tag, BasicRejectOptions { requeue: false }).await
        }
        Fate::Again => {
            channel.basic_nack(tag, BasicNackOptions { multiple: false, requeue: true }).await
        }
    }
}
