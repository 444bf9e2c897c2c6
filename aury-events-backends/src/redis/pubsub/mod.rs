//! `EVENT_BACKEND=redis`: Redis Pub/Sub.
//!
//! An event is published on the channel `{prefix}{event name}` (`{prefix}/{database}:{event name}` in a database other
//! than 0, unless the prefix is set or the format is aury-boot's) and reaches every process that listens at that moment,
//! **at most once**: Redis keeps nothing. `publish` is `Ok` when the server has taken the event, whoever listens.
//!
//! - *Connections.* One for commands and one that listens, each supervised: a server that goes away is reconnected to
//!   for ever, and found again within two seconds of its return. What is published meanwhile waits, up to the publish
//!   timeout; what others publish meanwhile is lost, which is logged. A publish whose connection breaks before the
//!   answer fails, and is not repeated, since it may have been carried out.
//! - *Subscriptions.* One at the server for each event name and pattern, shared by the subscribers of this process; a
//!   message is decoded once.
//! - *Slow subscribers.* Each has a bounded queue (`QUEUE_CAPACITY`) and loses its oldest event when one too many
//!   comes. That is counted in [`SubscriptionHealth::dropped`](crate::SubscriptionHealth::dropped) and logged, at most
//!   once a minute, and when it is over.
//! - *Retries* wait in this process and take places in the queue. Publishing with a delay is not offered.
//! - *Dead letters* go to a stream of their subscriber, `{prefix}:dead-letters:{service}/{subscriber}`, messages that are
//!   no events included; how many of them, and how many bytes, is bounded by settings. One that is replayed goes to all
//!   processes in which its subscriber runs, by the channel `{prefix}:replay:{service}/{subscriber}`, and is removed when
//!   one of them has taken it.
//! - *Shutting down.* From [`drain`](crate::Backend::drain) on, nothing is taken in. What handlers publish meanwhile is
//!   for other processes: by Pub/Sub it cannot be told from other events, and waiting for it could take for ever.

mod glob;
mod lag;
mod memo;
mod publish;
mod queue;
mod replay;
mod subscriptions;
mod topics;

use std::{fmt, sync::Arc, time::Duration};

use redis::Cmd;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use self::{
    queue::{Bound, Queue, QueueConsumer},
    replay::{ByChannel, replay_channel},
    subscriptions::{Subscriptions, ToStore},
    topics::{Status, channel},
};
use super::{
    codec::Codec,
    connection::RedisClient,
    dead_letters::DeadLetters,
    link::{Commands, Connection, Link, RedisConnector, SuitsSubscriber},
    names::check_prefix,
    probe::Use,
};
use crate::{
    backend::{Backend, Capabilities, Health, Outgoing, ServiceSubscriber, SubscriptionSpec},
    dead_letters::DeadLetterReader,
    delivery::Consumer,
    destination::{Destination, Server},
    envelope::EventName,
    error::BackendError,
    in_flight::{InFlight, Tally},
    kit::{Deadline, NobodyListens, Stage, TaskName, Tasks},
    maybe_ready::{BoxFuture, MaybeReady},
    redis::settings::{self, KEY_PREFIX},
    register_backend,
    registry::{BackendFactory, Connect},
};

register_backend!(
    BackendFactory::new("redis", CAPABILITIES, connect)
        .url(settings::SCHEMES, settings::EXAMPLE)
        .settings(&[&KEY_PREFIX])
);

const CAPABILITIES: Capabilities = Capabilities::NONE.patterns().remote();

fn connect(connect: Connect) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>> {
    Box::pin(async move {
        let backend = PubSubBackend::connect(connect).await?;
        Ok(Arc::new(backend) as Arc<dyn Backend>)
    })
}

/// Redis Pub/Sub: see the [module](self).
pub struct PubSubBackend {
    /// What channels begin with.
    prefix: String,
    /// As traces show it.
    server: Option<Server>,
    codec: Codec,
    bound: Bound,
    connect_timeout: Duration,
    publish_timeout: Duration,
    commands: Arc<Link<Commands>>,
    listening: Arc<Link<Subscriptions>>,
    subscriptions: Arc<Subscriptions>,
    dead_letters: Arc<DeadLetters>,
    in_flight: InFlight,
    stage: Stage,
    nobody_listens: NobodyListens,
    /// What looks after the connections and the store of dead letters.
    tasks: Tasks,
}

impl PubSubBackend {
    /// Connects to the server at `config.url`, waiting up to `config.connect_timeout` for one that is late.
    ///
    /// # Errors
    ///
    /// When the URL is none of Redis, when the server refuses us, as with a wrong password, or when it has not been
    /// reached in time.
    pub async fn connect(connect: Connect) -> Result<Self, BackendError> {
        let Connect { bus, service, ref config, .. } = connect;
        let (client, scope) = RedisClient::for_bus(config, Use::PubSub, &bus)?;
        check_prefix(&scope.keys)?;
        let codec = Codec::new(config);
        let deadline = Deadline::after(config.connect_timeout);
        let connector = RedisConnector::new(client.clone(), Arc::new(Commands));
        let commands = Link::connect(connector, deadline).await?;
        let replay = ByChannel { prefix: scope.channels.clone(), service: Arc::clone(&service) };
        let dead_letters = DeadLetters::new(
            Arc::clone(&commands),
            service,
            codec.clone(),
            &scope.keys,
            config,
            replay,
        );
        let dead_letters = Arc::new(dead_letters);
        let in_flight = InFlight::default();
        let storing = Arc::new(in_flight.tally());
        let (subscriptions, storable) =
            Subscriptions::new(scope.channels.clone(), codec.clone(), Arc::clone(&storing));
        let subscriptions = Arc::new(subscriptions);
        let connector = RedisConnector::new(client, Arc::clone(&subscriptions));
        let listening = Link::connect(connector, deadline).await?;

        let tasks = Tasks::default();
        let name = TaskName::of_bus("stores dead letters", bus);
        let storing = (storable, Arc::clone(&dead_letters), storing);
        tasks.spawn(name, storing, |(storable, dead_letters, storing): &mut Storing| {
            Box::pin(store(storable, dead_letters, storing))
        })?;
        Ok(Self {
            prefix: scope.channels,
            server: settings::server(config.url.as_ref()),
            codec,
            bound: Bound { events: config.queue_capacity, bytes: config.queue_bytes },
            connect_timeout: config.connect_timeout,
            publish_timeout: config.publish_timeout,
            commands,
            listening,
            subscriptions,
            dead_letters,
            in_flight,
            stage: Stage::default(),
            nobody_listens: NobodyListens::new(config.unroutable),
            tasks,
        })
    }

    /// The command that publishes an event, and its size in bytes.
    fn command(
        &self,
        Outgoing { envelope, origin, .. }: &Outgoing,
    ) -> Result<(Cmd, usize), BackendError> {
        if !self.stage.takes(*origin, &self.in_flight) {
            return Err(BackendError::closed());
        }
        let message = self.codec.encode(envelope)?;
        let channel = channel(&self.prefix, envelope.metadata().name());
        let bytes = "PUBLISH".len() + channel.len() + message.len();
        let mut command = Cmd::with_capacity(3, bytes);
        command.arg("PUBLISH").arg(channel).arg(message);
        Ok((command, bytes))
    }

    async fn start(&self, spec: SubscriptionSpec) -> Result<Box<dyn Consumer>, BackendError> {
        if !self.stage.is_open() {
            return Err(BackendError::closed());
        }
        let SubscriptionSpec { subscriber, topic, service, durable, .. } = spec;
        let operation = format!("subscribe {subscriber} to {topic}");
        self.commands.suits_subscriber(&operation, durable, self.connect_timeout).await?;
        let replays = replay_channel(&self.prefix, &service, &subscriber);
        let queue = Queue::new(
            subscriber,
            self.bound,
            self.in_flight.tally(),
            Arc::clone(&self.dead_letters),
            self.subscriptions.closing(),
        );
        // Made before the wait, it takes the queue back when the wait ends badly.
        let consumer = QueueConsumer::new(Arc::clone(&queue));
        let name = Arc::clone(queue.subscriber());
        let status = self.subscriptions.add(topic, replays, queue);
        let [events, replays] = status.ok_or_else(BackendError::closed)?;
        let confirmed = async { (confirmed(events).await, confirmed(replays).await) };
        match timeout(self.connect_timeout, confirmed).await {
            Err(_) => Err(BackendError::timed_out(operation, self.connect_timeout)),
            Ok((Status::Unconfirmed, _) | (_, Status::Unconfirmed)) => Err(BackendError::closed()),
            Ok((Status::Refused(reason), _)) => Err(BackendError::other(operation, &*reason)),
            Ok((Status::Live, replays)) => {
                if let Status::Refused(reason) = replays {
                    tracing::warn!(subscriber = %name, %reason, "dead letters cannot be replayed");
                }
                Ok(Box::new(consumer))
            }
        }
    }
}

/// What the server has said about a subscription; [`Status::Unconfirmed`] if it will not any more.
async fn confirmed(mut status: watch::Receiver<Status>) -> Status {
    let said = status.wait_for(|status| *status != Status::Unconfirmed).await;
    said.map_or(Status::Unconfirmed, |status| status.clone())
}

type Storing = (mpsc::Receiver<ToStore>, Arc<DeadLetters>, Arc<Tally>);

/// Stores what could not be decoded and removes what was taken back, one after the other.
async fn store(
    storable: &mut mpsc::Receiver<ToStore>,
    dead_letters: &DeadLetters,
    storing: &Tally,
) {
    while let Some(order) = storable.recv().await {
        // Also when this panics.
        let _stored = Settled(storing);
        match order {
            ToStore::Undecodable(letter) => {
                if let Err(error) = dead_letters.store_undecodable(&letter).await {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(event = %letter.name, error, "an undecodable message is lost");
                }
            }
            ToStore::Replayed { subscriber, id } => {
                if let Err(error) = dead_letters.remove(&subscriber, &id).await {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(letter = id, error, "a replayed dead letter is still there");
                }
            }
        }
    }
}

/// Counts out what was to be stored, when it is dropped.
struct Settled<'a>(&'a Tally);

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        self.0.settle();
    }
}

impl Backend for PubSubBackend {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn publish(&self, event: Outgoing) -> MaybeReady<'_, Result<(), BackendError>> {
        let command = match self.command(&event) {
            Ok((command, _)) => command,
            Err(error) => return MaybeReady::ready(Err(error)),
        };
        MaybeReady::pending(async move {
            let operation = || format!("publish {}", event.envelope.metadata().name());
            let send = |mut connection: Connection| {
                let command = &command;
                async move { connection.send_packed_command(command).await?.extract_error() }
            };
            let receivers = self.commands.run(operation, self.publish_timeout, send).await?;
            self.note_receivers(event.envelope.metadata().name(), &receivers)
        })
    }

    fn publish_all<'a>(
        &'a self,
        events: &'a mut (dyn Iterator<Item = Outgoing> + Send),
    ) -> BoxFuture<'a, Vec<Result<(), BackendError>>> {
        Box::pin(self.publish_in_chunks(events))
    }

    fn subscribe(
        &self,
        spec: SubscriptionSpec,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BackendError>> {
        Box::pin(self.start(spec))
    }

    fn dead_letters(
        &self,
        subscribers: &[Arc<str>],
    ) -> BoxFuture<'_, Result<Box<dyn DeadLetterReader>, BackendError>> {
        Box::pin(self.dead_letters.read(subscribers.into()))
    }

    fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    fn drain(&self) {
        self.stage.drain();
        self.subscriptions.drain();
    }

    fn destination(
        &self,
        event: &EventName,
        _reader: Option<ServiceSubscriber<'_>>,
    ) -> Option<Destination> {
        Some(settings::destination(channel(&self.prefix, event), self.server.clone()))
    }

    fn health(&self) -> Health {
        let is_up = self.stage.is_open() && self.commands.is_up() && self.listening.is_up();
        let problem = self.commands.problem().or_else(|| self.listening.problem());
        Health::new(is_up, self.subscriptions.health())
            .with_problem(problem.map(Into::into))
            .with_dropped_dead_letters(self.dead_letters.dropped())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(async {
            self.stage.close();
            self.subscriptions.close();
            self.commands.close().await;
            self.listening.close().await;
            self.tasks.close().await;
            Ok(())
        })
    }
}

impl fmt::Debug for PubSubBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubBackend")
            .field("prefix", &self.prefix)
            .field("commands_up", &self.commands.is_up())
            .field("listening_up", &self.listening.is_up())
            .finish_non_exhaustive()
    }
}
