//! What a bus needs on the broker: exchanges, queues and bindings.
//!
//! Everything is declared, never deleted, and declared again on each new connection. What exists already with other
//! arguments is an [`Incompatible`] error, and stays as it is.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lapin::{
    Channel, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::time::{Instant, timeout};

use super::{
    message::{Needed, WAIT, wait},
    names::{Names, Queues, Then, short},
    settings::{EXCHANGE_TYPE, QUEUE_TYPE},
};
use crate::{
    config::{BackendConfig, ExchangeType, QueueType},
    envelope::Topic,
    error::BackendError,
};

/// How often a quorum queue delivers a message that is never settled, before it puts it away as a dead letter: what
/// RabbitMQ 4 does by default.
const DELIVERY_LIMIT: i64 = 20;

/// How long a queue of waiting messages outlives the longest wait in it. It is declared again long before.
const SPARE: Duration = Duration::from_secs(60 * 60);

/// For how long a queue of waiting messages is known to be there.
const FRESH: Duration = Duration::from_secs(10 * 60);

/// How long the broker may take to answer. One that has just started leaves requests about queues without a leader
/// unanswered for ever; a new channel asks again.
const ANSWER: Duration = Duration::from_secs(5);

/// The longest wait: what RabbitMQ takes as a time to live and as an expiry, in milliseconds.
pub(super) const LONGEST_WAIT: Duration =
    Duration::from_millis(u32::MAX as u64 - SPARE.as_millis() as u64);

/// Declares what a bus needs.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) names: Names,
    exchange_type: ExchangeType,
    queue_type: QueueType,
    /// When queues of waiting messages were declared.
    waiting: Mutex<HashMap<Needed, Instant>>,
}

impl Topology {
    pub(super) fn new(config: &BackendConfig, names: Names) -> Self {
        Self {
            names,
            exchange_type: config.get(&EXCHANGE_TYPE),
            queue_type: config.get(&QUEUE_TYPE),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn exchange_type(&self) -> ExchangeType {
        self.exchange_type
    }

    /// Declares the exchange that events are published to.
    pub(super) async fn declare_exchange(&self, channel: &Channel) -> Result<(), DeclareError> {
        let kind = match self.exchange_type {
            ExchangeType::Topic => ExchangeKind::Topic,
            ExchangeType::Direct => ExchangeKind::Direct,
            ExchangeType::Fanout => ExchangeKind::Fanout,
        };
        self.exchange(channel, &self.names.exchange, kind).await
    }

    async fn exchange(
        &self,
        channel: &Channel,
        name: &ShortString,
        kind: ExchangeKind,
    ) -> Result<(), DeclareError> {
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let declared =
            channel.exchange_declare(name.clone(), kind, options, FieldTable::default()).await;
        declared.map_err(|error| DeclareError::of(Thing::Exchange, name, error))
    }

    /// Declares the queue that the processes of a service share for a subscriber, with its queue of dead letters.
    pub(super) async fn declare_shared(
        &self,
        channel: &Channel,
        queues: &Queues,
        topic: &Topic,
    ) -> Result<(), DeclareError> {
        self.declare_exchange(channel).await?;
        self.declare_dead(channel, &queues.dead).await?;
        let mut arguments = lasting(self.queue_type);
        dead_letter_to(&mut arguments, "", Some(&queues.dead));
        if self.queue_type == QueueType::Quorum {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
        }
        self.queue(channel, &queues.queue, durable(), arguments).await?;
        self.bind(channel, &queues.queue, topic).await
    }

    /// Declares a queue of this connection alone, which ends with its consumer, and the queue of dead letters of its
    /// subscriber.
    pub(super) async fn declare_own(
        &self,
        channel: &Channel,
        queue: &ShortString,
        dead: &ShortString,
        topic: &Topic,
    ) -> Result<(), DeclareError> {
        self.declare_exchange(channel).await?;
        self.declare_dead(channel, dead).await?;
        let options =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        self.queue(channel, queue, options, FieldTable::default()).await?;
        self.bind(channel, queue, topic).await
    }

    async fn declare_dead(
        &self,
        channel: &Channel,
        dead: &ShortString,
    ) -> Result<(), DeclareError> {
        let mut arguments = kind(self.queue_type);
        if self.queue_type == QueueType::Quorum {
            // Reading it counts as a delivery.
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(i32::MAX.into()));
        }
        self.queue(channel, dead, durable(), arguments).await
    }

    /// Sees to it that what a message has to pass is there.
    pub(super) async fn provide(
        &self,
        channel: &Channel,
        needed: &Needed,
    ) -> Result<(), DeclareError> {
        match needed {
            Needed::DeadQueue(dead) => self.declare_dead(channel, dead).await,
            Needed::Wait(then, millis) => {
                if self.is_fresh(needed) {
                    return Ok(());
                }
                self.declare_waiting(channel, *then, *millis).await?;
                self.waiting().insert(needed.clone(), Instant::now());
                Ok(())
            }
        }
    }

    fn is_fresh(&self, needed: &Needed) -> bool {
        let mut waiting = self.waiting();
        waiting.retain(|_, declared| declared.elapsed() < FRESH);
        waiting.contains_key(needed)
    }

    /// Takes nothing for granted any more: something that was declared is not there.
    pub(super) fn forget(&self) {
        self.waiting().clear();
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Needed, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares the queue in which messages wait for so many milliseconds, and the way into it.
    async fn declare_waiting(
        &self,
        channel: &Channel,
        then: Then,
        millis: u32,
    ) -> Result<(), DeclareError> {
        self.exchange(channel, &self.names.waiting, ExchangeKind::Headers).await?;
        let queue = self.names.waiting_queue(then, millis).map_err(DeclareError::Final)?;
        // Whatever the type of the others: a classic queue lets go of a message before its target has it on disk.
        let mut arguments = lasting(QueueType::Quorum);
        match then {
            // With the routing key that they have, which is the queue's name.
            Then::ToQueue => dead_letter_to(&mut arguments, "", None),
            Then::ToExchange => dead_letter_to(&mut arguments, self.names.exchange.as_str(), None),
        }
        let expires = i64::from(millis) + SPARE.as_millis() as i64;
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis.into()));
        arguments.insert("x-expires".into(), AMQPValue::LongLongInt(expires));
        self.queue(channel, &queue, durable(), arguments).await?;
        let mut header = FieldTable::default();
        header.insert("x-match".into(), AMQPValue::LongString("all".into()));
        header.insert(WAIT.into(), AMQPValue::LongString(wait(then, millis).into()));
        self.bind_by(channel, &queue, &self.names.waiting, ShortString::default(), header).await
    }

    async fn queue(
        &self,
        channel: &Channel,
        name: &ShortString,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<(), DeclareError> {
        let declared = channel.queue_declare(name.clone(), options, arguments).await;
        declared.map(drop).map_err(|error| DeclareError::of(Thing::Queue, name, error))
    }

    async fn bind(
        &self,
        channel: &Channel,
        queue: &ShortString,
        topic: &Topic,
    ) -> Result<(), DeclareError> {
        let key = short(topic.to_string()).map_err(DeclareError::Final)?;
        self.bind_by(channel, queue, &self.names.exchange, key, FieldTable::default()).await
    }

    async fn bind_by(
        &self,
        channel: &Channel,
        queue: &ShortString,
        exchange: &ShortString,
        key: ShortString,
        arguments: FieldTable,
    ) -> Result<(), DeclareError> {
        let (options, from) = (QueueBindOptions::default(), exchange.clone());
        let bound = channel.queue_bind(queue.clone(), from, key, options, arguments).await;
        bound.map_err(|error| DeclareError::of(Thing::Queue, queue, error))
    }
}

/// The arguments of a queue of a type.
fn kind(queue_type: QueueType) -> FieldTable {
    let mut arguments = FieldTable::default();
    let kind = AMQPValue::LongString(queue_type.as_str().into());
    arguments.insert("x-queue-type".into(), kind);
    arguments
}

/// The arguments of a queue that hands on what it puts away. A quorum queue keeps that until it has been taken.
fn lasting(queue_type: QueueType) -> FieldTable {
    let mut arguments = kind(queue_type);
    if queue_type == QueueType::Quorum {
        for (name, value) in
            [("x-dead-letter-strategy", "at-least-once"), ("x-overflow", "reject-publish")]
        {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        }
    }
    arguments
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..Default::default() }
}

fn dead_letter_to(arguments: &mut FieldTable, exchange: &str, key: Option<&ShortString>) {
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(exchange.into()));
    if let Some(key) = key {
        let key = AMQPValue::LongString(key.as_str().into());
        arguments.insert("x-dead-letter-routing-key".into(), key);
    }
}

#[derive(Debug, Clone, Copy)]
enum Thing {
    Exchange,
    Queue,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exchange => "exchange",
            Self::Queue => "queue",
        })
    }
}

/// Why something could not be declared.
#[derive(Debug)]
pub(super) enum DeclareError {
    /// It never can, as things stand.
    Final(BackendError),
    /// It may succeed on another channel or connection.
    Passing(BackendError),
}

impl DeclareError {
    fn of(thing: Thing, name: &ShortString, error: lapin::Error) -> Self {
        let operation = format!("declare the {thing} {name}");
        match soft_error(&error) {
            Some(AMQPSoftError::PRECONDITIONFAILED) => Self::Final(BackendError::other(
                operation,
                Incompatible { thing, name: name.to_string(), broker: error },
            )),
            Some(AMQPSoftError::ACCESSREFUSED) => {
                Self::Final(BackendError::other(operation, error))
            }
            _ => Self::Passing(BackendError::other(operation, error)),
        }
    }

    pub(super) fn into_inner(self) -> BackendError {
        match self {
            Self::Final(error) | Self::Passing(error) => error,
        }
    }
}

/// Waits for what the broker is asked, up to a limit.
pub(super) async fn answered<T>(
    operation: &str,
    asking: impl Future<Output = Result<T, DeclareError>>,
) -> Result<T, DeclareError> {
    match timeout(ANSWER, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(DeclareError::Passing(BackendError::timed_out(operation, ANSWER))),
    }
}

impl From<BackendError> for DeclareError {
    /// Of an error that is not the broker's answer to a declaration.
    fn from(error: BackendError) -> Self {
        if error.is_closed() { Self::Final(error) } else { Self::Passing(error) }
    }
}

pub(super) fn soft_error(error: &lapin::Error) -> Option<AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(error) => Some(error.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

/// An exchange or a queue exists with other arguments than the bus would give it.
#[derive(Debug)]
struct Incompatible {
    thing: Thing,
    name: String,
    broker: lapin::Error,
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thing, name, broker } = self;
        // The broker's own words name the argument that differs, and both values.
        let said = broker.to_string();
        let difference = said.split_once("PRECONDITION_FAILED - ").map_or(&*said, |(_, it)| it);
        write!(f, "it exists with other arguments: {difference}. It was left as it is. ")?;
        match thing {
            Thing::Exchange => write!(
                f,
                "Either set EVENT_EXCHANGE_TYPE to its type, or choose another EVENT_EXCHANGE_NAME, or delete the \
                 exchange, which is declared again at the next start"
            ),
            Thing::Queue => write!(
                f,
                "Either set EVENT_QUEUE_TYPE to its type, or give the subscriber another name, or, when it is empty, \
                 delete the queue (`rabbitmqctl delete_queue {name}`), which is declared again at the next start"
            ),
        }
    }
}

impl Error for Incompatible {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.broker)
    }
}
