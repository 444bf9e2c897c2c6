//! What a bus needs on the broker: an exchange, queues and bindings.
//!
//! Everything is declared, never deleted, and declared again on each new connection. What exists already with other
//! arguments is an error, and stays as it is.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard},
};

use lapin::{
    ExchangeKind,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::{
    declare::{DeclareError, Declarer},
    delays::Level,
    link::Link,
    names::{Names, Queues, short},
    settings::{EXCHANGE_TYPE, QUEUE_TYPE},
};
use crate::{
    config::{BackendConfig, ExchangeType, QueueType},
    envelope::Topic,
    kit::lock,
};

/// How often a quorum queue delivers a message again that is never settled: as good as always. The broker's count hits
/// what was only prefetched when a process died, so interruptions are counted by us.
const NO_DELIVERY_LIMIT: i64 = i32::MAX as i64;

/// How many queues are remembered as declared. One is declared again when it is needed and was forgotten.
const REMEMBERED: usize = 4096;

/// Declares what a bus needs.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) names: Names,
    exchange_type: ExchangeType,
    queue_type: QueueType,
    /// What messages need and is there, as far as this process knows.
    provided: Mutex<HashSet<Needed>>,
}

/// A queue that is declared with the first message for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Needed {
    /// One in which messages wait.
    Waiting(Level),
    /// One of dead letters.
    Dead(ShortString),
    /// One of the marks of suspects.
    Marks(ShortString),
}

impl Topology {
    pub(super) fn new(config: &BackendConfig, names: Names) -> Self {
        Self {
            names,
            exchange_type: config.get(&EXCHANGE_TYPE),
            queue_type: config.get(&QUEUE_TYPE),
            provided: Mutex::default(),
        }
    }

    pub(super) fn exchange_type(&self) -> ExchangeType {
        self.exchange_type
    }

    /// Declares the exchange that events are published to.
    pub(super) async fn declare_exchange(&self, link: &Link) -> Result<(), DeclareError> {
        let mut declarer = Declarer::new(link);
        self.exchange(&mut declarer).await?;
        declarer.end().await;
        Ok(())
    }

    async fn exchange(&self, declarer: &mut Declarer<'_>) -> Result<(), DeclareError> {
        let kind = match self.exchange_type {
            ExchangeType::Topic => ExchangeKind::Topic,
            ExchangeType::Direct => ExchangeKind::Direct,
            ExchangeType::Fanout => ExchangeKind::Fanout,
        };
        declarer.exchange(&self.names.exchange, kind).await.map(drop)
    }

    /// Declares the queue that the processes of a service share for a subscriber, with those that belong to it.
    pub(super) async fn declare_shared(
        &self,
        link: &Link,
        queues: &Queues,
        topic: &Topic,
    ) -> Result<(), DeclareError> {
        let mut declarer = Declarer::new(link);
        self.exchange(&mut declarer).await?;
        self.dead(&mut declarer, &queues.dead).await?;
        let arguments = self.lasting(&queues.dead);
        let mut suspects = arguments.clone();
        suspects.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        declarer.queue(&queues.suspects, durable(), suspects).await?;
        let is_ours = declarer.queue(&queues.queue, durable(), arguments).await?;
        let bound = self.bind(&mut declarer, &queues.queue, topic).await;
        match bound {
            Err(DeclareError::Final(error)) if !is_ours && error.is_refused() => tracing::warn!(
                queue = %queues.queue,
                %error,
                "cannot see whether the queue is bound: somebody else has declared it, and this user may not bind it"
            ),
            bound => bound?,
        }
        declarer.end().await;
        Ok(())
    }

    /// Declares a queue of this connection alone, which ends with its consumer.
    pub(super) async fn declare_own(
        &self,
        link: &Link,
        queue: &ShortString,
        topic: &Topic,
    ) -> Result<(), DeclareError> {
        let mut declarer = Declarer::new(link);
        self.exchange(&mut declarer).await?;
        let options =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        declarer.queue(queue, options, FieldTable::default()).await?;
        self.bind(&mut declarer, queue, topic).await?;
        declarer.end().await;
        Ok(())
    }

    async fn bind(
        &self,
        declarer: &mut Declarer<'_>,
        queue: &ShortString,
        topic: &Topic,
    ) -> Result<(), DeclareError> {
        let key = short(topic.to_string()).map_err(DeclareError::Final)?;
        declarer.bind(queue, &self.names.exchange, key).await
    }

    /// Declares the queue of what has waited, and the one of what cannot be forwarded from there.
    pub(super) async fn declare_waited(&self, link: &Link) -> Result<(), DeclareError> {
        let mut declarer = Declarer::new(link);
        let stranded = self.names.stranded();
        declarer.queue(&stranded, durable(), unlimited(QueueType::Quorum)).await?;
        let mut arguments = unlimited(QueueType::Quorum);
        // What is rejected goes there without being published, so that nothing can be refused.
        dead_letter_to(&mut arguments, QueueType::Quorum, &stranded);
        declarer.queue(&self.names.waited(), durable(), arguments).await?;
        declarer.end().await;
        Ok(())
    }

    /// Sees to it that a queue is there that a message needs.
    pub(super) async fn provide(&self, link: &Link, needed: &Needed) -> Result<(), DeclareError> {
        let mut declarer = Declarer::new(link);
        match needed {
            // Both are read by taking messages out.
            Needed::Dead(queue) | Needed::Marks(queue) => self.dead(&mut declarer, queue).await?,
            Needed::Waiting(level) => {
                // Whatever the type of the others: a classic queue lets go of a message before its target has it on
                // disk.
                let mut arguments = unlimited(QueueType::Quorum);
                dead_letter_to(&mut arguments, QueueType::Quorum, &self.names.waited());
                let time = AMQPValue::LongLongInt(level.millis().into());
                arguments.insert("x-message-ttl".into(), time);
                declarer.queue(&self.names.waiting(*level), durable(), arguments).await?;
            }
        }
        declarer.end().await;
        let mut provided = self.provided();
        if provided.len() >= REMEMBERED {
            provided.clear();
        }
        provided.insert(needed.clone());
        Ok(())
    }

    pub(super) fn is_provided(&self, needed: &Needed) -> bool {
        self.provided().contains(needed)
    }

    /// Takes a queue for granted no more: it is not there.
    pub(super) fn forget(&self, needed: &Needed) {
        self.provided().remove(needed);
    }

    fn provided(&self) -> MutexGuard<'_, HashSet<Needed>> {
        lock(&self.provided)
    }

    async fn dead(
        &self,
        declarer: &mut Declarer<'_>,
        dead: &ShortString,
    ) -> Result<(), DeclareError> {
        declarer.queue(dead, durable(), unlimited(self.queue_type)).await.map(drop)
    }

    /// The arguments of a queue from which deliveries come; what it puts away goes to the dead letters.
    fn lasting(&self, dead: &ShortString) -> FieldTable {
        let mut arguments = unlimited(self.queue_type);
        dead_letter_to(&mut arguments, self.queue_type, dead);
        arguments
    }
}

/// The arguments of a queue of a type that never puts a message away by itself.
fn unlimited(queue_type: QueueType) -> FieldTable {
    let mut arguments = FieldTable::default();
    let kind = AMQPValue::LongString(queue_type.as_str().into());
    arguments.insert("x-queue-type".into(), kind);
    if queue_type == QueueType::Quorum {
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(NO_DELIVERY_LIMIT));
    }
    arguments
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..Default::default() }
}

/// Has a queue hand on what it puts away to another one. A quorum queue keeps that until it has been taken.
fn dead_letter_to(arguments: &mut FieldTable, queue_type: QueueType, queue: &ShortString) {
    let mut insert = |name: &str, value: &str| {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    insert("x-dead-letter-exchange", "");
    insert("x-dead-letter-routing-key", queue.as_str());
    if queue_type == QueueType::Quorum {
        insert("x-dead-letter-strategy", "at-least-once");
        insert("x-overflow", "reject-publish");
    }
}
