//! How things are declared on the broker, and what its refusals mean.

use std::{error::Error, fmt, time::Duration};

use lapin::{
    Channel, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{FieldTable, ShortString},
};
use tokio::time::timeout;

use super::link::{Link, channel};
use crate::{error::BackendError, kit::AttemptError};

/// How long the broker may take to answer. One that has just started leaves requests about queues without a leader
/// unanswered for ever; a new channel asks again.
const ANSWER: Duration = Duration::from_secs(5);

/// Declares things by a channel of its own: a refusal closes the channel, and with it whatever else goes on there.
pub(super) struct Declarer<'a> {
    link: &'a Link,
    channel: Option<Channel>,
}

impl<'a> Declarer<'a> {
    pub(super) fn new(link: &'a Link) -> Self {
        Self { link, channel: None }
    }

    async fn channel(&mut self) -> Result<Channel, DeclareError> {
        if let Some(channel) = &self.channel {
            return Ok(channel.clone());
        }
        let channel = channel(self.link).await?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }

    /// Declares a durable exchange. One that exists will do for a user who may not declare any: `Ok(false)`.
    pub(super) async fn exchange(
        &mut self,
        name: &ShortString,
        kind: ExchangeKind,
    ) -> Result<bool, DeclareError> {
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        match self.try_exchange(name, kind.clone(), options).await? {
            Ok(()) => Ok(true),
            Err(error) if is_denied(&error) => {
                self.passive_exchange(name, kind, &error).await.map(|()| false)
            }
            Err(error) => Err(DeclareError::of(Thing::Exchange, name, error)),
        }
    }

    /// Sees that an exchange exists that the broker has refused to declare, for that reason.
    async fn passive_exchange(
        &mut self,
        name: &ShortString,
        kind: ExchangeKind,
        refusal: &lapin::Error,
    ) -> Result<(), DeclareError> {
        let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
        let looked = self.try_exchange(name, kind, passive).await?;
        looked.map_err(|error| DeclareError::missing(Thing::Exchange, name, refusal, error))
    }

    async fn try_exchange(
        &mut self,
        name: &ShortString,
        kind: ExchangeKind,
        options: ExchangeDeclareOptions,
    ) -> Result<Result<(), lapin::Error>, DeclareError> {
        let channel = self.channel().await?;
        let none = FieldTable::default();
        let declared = channel.exchange_declare(name.clone(), kind, options, none).await;
        if declared.is_err() {
            self.channel = None;
        }
        Ok(declared)
    }

    /// Declares a queue. One that exists will do for a user who may not declare any: `Ok(false)`.
    pub(super) async fn queue(
        &mut self,
        name: &ShortString,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<bool, DeclareError> {
        let refusal = match self.try_queue(name, options, arguments).await? {
            Ok(()) => return Ok(true),
            Err(error) if is_denied(&error) => error,
            Err(error) => return Err(DeclareError::of(Thing::Queue, name, error)),
        };
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        match self.try_queue(name, passive, FieldTable::default()).await? {
            Ok(()) => Ok(false),
            Err(error) => Err(DeclareError::missing(Thing::Queue, name, &refusal, error)),
        }
    }

    async fn try_queue(
        &mut self,
        name: &ShortString,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<Result<(), lapin::Error>, DeclareError> {
        let channel = self.channel().await?;
        let declared = channel.queue_declare(name.clone(), options, arguments).await;
        if declared.is_err() {
            self.channel = None;
        }
        Ok(declared.map(drop))
    }

    /// Binds a queue to an exchange.
    pub(super) async fn bind(
        &mut self,
        queue: &ShortString,
        exchange: &ShortString,
        key: ShortString,
    ) -> Result<(), DeclareError> {
        let channel = self.channel().await?;
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let binding =
            channel.queue_bind(queue.clone(), exchange.clone(), key.clone(), options, none);
        let Err(error) = binding.await else { return Ok(()) };
        self.channel = None;
        Err(match denied(&error) {
            Some(said) => DeclareError::Final(BackendError::refused(
                format!("RabbitMQ refused to bind the queue {queue} to {key} on {exchange}"),
                format!(
                    "{said}. The user needs the right to write to the queue and to read the exchange"
                ),
            )),
            None => DeclareError::Passing(BackendError::other(
                format!("bind the queue {queue} to {key} on {exchange}"),
                error,
            )),
        })
    }

    /// Closes the channel, in order.
    pub(super) async fn end(self) {
        if let Some(channel) = self.channel {
            // It may have ended by itself.
            let _ = channel.close(200, "declared".into()).await;
        }
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
                Incompatible { thing, name: name.to_string(), said: said(&error) },
            )),
            _ => Self::Passing(BackendError::other(operation, error)),
        }
    }

    /// Of something that the user may not declare, and that does not exist, or cannot be looked at.
    fn missing(
        thing: Thing,
        name: &ShortString,
        refusal: &lapin::Error,
        look: lapin::Error,
    ) -> Self {
        if soft_error(&look) != Some(AMQPSoftError::NOTFOUND) {
            return Self::Passing(BackendError::other(format!("look at the {thing} {name}"), look));
        }
        Self::Final(BackendError::refused(
            format!("RabbitMQ refused to declare the {thing} {name}"),
            format!(
                "{}. It does not exist yet: give the user the right to configure it, or have somebody declare it who \
                 may",
                said(refusal)
            ),
        ))
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

impl From<DeclareError> for AttemptError {
    fn from(error: DeclareError) -> Self {
        match error {
            DeclareError::Final(error) if error.is_closed() => Self::Closed,
            DeclareError::Final(error) => Self::refused(error),
            DeclareError::Passing(error) => Self::transient(error),
        }
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

fn is_denied(error: &lapin::Error) -> bool {
    soft_error(error) == Some(AMQPSoftError::ACCESSREFUSED)
}

/// The broker's words, when it has refused something for want of a right.
pub(super) fn denied(error: &lapin::Error) -> Option<String> {
    is_denied(error).then(|| said(error))
}

/// The broker's own words, such as `ACCESS_REFUSED - access to exchange 'x' refused for user 'u'`.
pub(super) fn said(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        _ => error.to_string(),
    }
}

/// An exchange or a queue exists with other arguments than the bus would give it.
#[derive(Debug)]
struct Incompatible {
    thing: Thing,
    name: String,
    said: String,
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thing, name, said } = self;
        // The broker's own words name the argument that differs, and both values.
        let difference = said.split_once("PRECONDITION_FAILED - ").map_or(&**said, |(_, it)| it);
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

impl Error for Incompatible {}
