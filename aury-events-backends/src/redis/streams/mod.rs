//! `EVENT_BACKEND=redis-streams`: at least once, shared by the processes of a service.
//!
//! # On the server
//!
//! Every event name has a stream, `{prefix}{name}`, whose entries have one field, `event`: the envelope. Every
//! subscriber has a group, `{service}/{subscriber}`, on each stream that its topic covers. Every subscription of a
//! process is a consumer of that group, under a name of its own.
//!
//! # What holds
//!
//! - `publish` is `Ok` when the server has confirmed the entry. Whether a confirmed entry outlives a crash of the
//!   server is the server's configuration: with `appendonly yes` and `appendfsync always` it does. When the connection
//!   is lost before the confirmation, the event is sent again, so it may be there twice, with one event id.
//! - What is published after `subscribe` returned reaches the subscriber; the first subscription of a group begins
//!   there, and later ones go on where the group is. A pattern's group begins at that same time on streams that appear
//!   later, so events of a new name are not missed either. Streams that other programs write to have to be in the set
//!   `{prefix}:streams` for patterns to find them.
//! - An entry is delivered until it is acknowledged. Each subscriber holds at most `prefetch` entries whose handler is not
//!   done, and at most as many again that it has taken over or that are due for a retry; and at most `queue_bytes` bytes.
//!   Entries whose settlement the server has not taken yet do not count, up to about a thousand of them.
//! - A process that dies leaves its entries to others, which take them over once it has given no sign of life, and the
//!   entries have not been touched, for the idle time (ten seconds). One that is merely slow keeps them, even if a handler
//!   blocks its threads: signs of life are given on a thread of their own. One that shuts down in order leaves them at
//!   once.
//! - An attempt is counted when a handler has reported what it came to, or has dropped the delivery. Being read, being
//!   taken over, a lost connection, a pause and a shutdown count as nothing: that attempt is given once more.
//! - What a dead process held is handed out one entry at a time, each after the server knows that its handler begins. If
//!   that process dies, too, it is an interruption of that entry, which is counted; the others were only read. After
//!   `max_interruptions` of them the entry is a dead letter, before its handler would begin again. The first death is not
//!   counted, since nobody was told which handler had begun. A process that was silent for so long that others took it
//!   for dead takes its own interruptions back when it goes on.
//! - The group's own count of deliveries (`XPENDING`) holds both numbers: 2,000,000,003 is the third attempt of an entry
//!   over which two processes have died. Nothing that others write into an entry is counted.
//! - A settlement that the server refuses, as for want of a right, is tried again after a wait of its own, and holds up
//!   neither others nor a shutdown. A retry that the server does not keep waits in this process.
//! - When the server's memory is full (`maxmemory` with `noeviction`), publishing fails with the server's words, and health
//!   shows them within about a second, until there is room again. Handling
//!   goes on, in a process that is started then, too: signs of life, groups, dead letters and retries are written by
//!   scripts that a full server carries out, since they begin with a write that needs no room. A dead letter or a retry
//!   takes the place of the entry that it was.
//! - A retry of up to a second is waited for in place. A longer one is put aside on the server (`{prefix}:delayed`) and
//!   comes back by the stream `{prefix}:retry:{group}`, up to a second late; it is no longer in flight meanwhile.
//! - An event that is published with a delay is put aside in the same place, on the server, and comes to its stream up to
//!   half a second late: to those who listen then, whichever processes have ended meanwhile.
//! - A dead letter comes back by the stream of its group's retries, or by `{prefix}:replay:{group}` to all processes in
//!   which its `broadcast` subscriber runs; it is removed then when one of them has taken it.
//! - A stream is trimmed up to the oldest entry that some group has not acknowledged or some live `broadcast`
//!   subscriber has not read. One that nobody ever subscribed to keeps about the latest 100,000. A group that nobody
//!   serves any more holds up the trimming: remove its line in `{prefix}:subscribers` by `HDEL`, then the group by
//!   `XGROUP DESTROY`. While nobody has subscribed to an event, a warning says so, once for each name, unless
//!   `EVENT_UNROUTABLE` is `ignore`; it is known some ten seconds after the publish, so `error` warns, too.
//! - `broadcast` subscribers read without a group, from the time of their subscription on. Their position survives lost
//!   connections, not the process. Their retries wait in place.
//! - What others have written among the keys of the framework is set aside and said, and everything else goes on: a member
//!   of the delayed events that is none goes to `{prefix}:set-aside`; one that the server refuses for its stream is tried
//!   again; a pattern's stream whose key holds something else is not read.
//! - A prefix is empty, or ends with one `:` and holds no two in a row; anything else is refused, since its keys could be
//!   those of another bus. Every key that is no event's stream has a `:` after the prefix, which no event's name holds.
//! - After `FLUSHALL`, groups are made anew and begin with what was published after it.
//!
//! The group, not the stream, keeps the order: with several processes, or after a retry, events are handled out of
//! order.

mod caretaker;
mod inbox;
mod publisher;
mod pulse;
mod replay;
mod room;
mod server;
mod shared;
mod subscription;

use std::{
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use uuid::Uuid;

use self::{
    caretaker::{Caretaker, Unheard},
    inbox::{Inbox, Intake, Limits, StreamConsumer},
    publisher::{Chunk, Publisher},
    pulse::Pulse,
    replay::ByStream,
    room::Room,
    server::{Group, Keys, Server, persist},
    shared::Shared,
    subscription::{Broadcast, Keeper, Reader, Settler, Source, Subscription},
};
use super::{
    codec::Codec,
    connection::RedisClient,
    dead_letters::DeadLetters,
    link::{Commands, Link, RedisConnector, SuitsSubscriber},
    names::check_prefix,
    probe::Use,
};
use crate::{
    backend::{Backend, Capabilities, Health, Outgoing, ServiceSubscriber, SubscriptionSpec},
    config::BackendConfig,
    dead_letters::DeadLetterReader,
    delivery::Consumer,
    destination::Destination,
    envelope::EventName,
    error::BackendError,
    in_flight::InFlight,
    kit::{OnceAMinute, Stage, TaskName, Tasks, read, subscriber_name, write},
    maybe_ready::{BoxFuture, MaybeReady},
    redis::settings::{self, KEY_PREFIX, PREFETCH},
    register_backend,
    registry::{BackendFactory, Connect},
};

register_backend!(
    BackendFactory::new("redis-streams", CAPABILITIES, connect)
        .url(settings::SCHEMES, settings::EXAMPLE)
        .only_by_name()
        .settings(&[&KEY_PREFIX, &PREFETCH])
);

const CAPABILITIES: Capabilities =
    Capabilities::NONE.at_least_once().patterns().shared_work().remote().delay();

fn connect(connect: Connect) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>> {
    Box::pin(async {
        let backend = StreamsBackend::connect(connect, Timing::default()).await?;
        Ok(Arc::new(backend) as Arc<dyn Backend>)
    })
}

/// How many entries a subscriber holds that sets no other number: a reply carries that many, so they share the cost of a
/// round trip.
const LEAST_PREFETCH: u32 = 256;

/// How long the server may take to note that subscribers leave whose deliveries are not settled.
const LEAVING: Duration = Duration::from_secs(2);

/// How long things take on the server. The same in all processes of a bus.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Timing {
    /// How long a consumer may give no sign of life until others take over what it holds. Default: 10 seconds.
    pub min_idle: Duration,
    /// How often streams are trimmed. Default: 5 seconds.
    pub trim_every: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { min_idle: Duration::from_secs(10), trim_every: Duration::from_secs(5) }
    }
}

/// The backend on Redis Streams: see the [module](self).
///
/// Dropping it without [`close`](Backend::close) ends its tasks where they are; other processes take over what its
/// subscribers hold.
#[derive(Debug)]
pub struct StreamsBackend {
    shared: Arc<Shared>,
    link: Arc<Link<Commands>>,
    publisher: Arc<Publisher>,
    config: BackendConfig,
    in_flight: InFlight,
    stage: Stage,
    subscriptions: Arc<RwLock<Vec<Arc<Subscription>>>>,
    /// One task per subscription, which ends when that has been left in order.
    subscribed: Tasks,
    /// What runs until the end.
    upkeep: Tasks,
}

impl StreamsBackend {
    /// Connects to the server, waiting up to `connect_timeout` for one that is late.
    ///
    /// # Errors
    ///
    /// When there is no usable URL, when the server refuses us, and when it cannot be reached in that time.
    pub async fn connect(connect: Connect, timing: Timing) -> Result<Self, BackendError> {
        let Connect { bus, service, config, .. } = connect;
        let (client, scope) = RedisClient::for_bus(&config, Use::Streams, &bus)?;
        check_prefix(&scope.keys)?;
        let connector = RedisConnector::new(client.clone(), Arc::new(Commands));
        let link = Link::connect(connector, config.connect_timeout).await?;
        let codec = Codec::new(&config);
        let keys = Keys::new(&scope.keys);
        let replay = ByStream { keys: keys.clone(), service: Arc::clone(&service) };
        let dead_letters = DeadLetters::new(
            Arc::clone(&link),
            service,
            codec.clone(),
            &scope.keys,
            &config,
            replay,
        );
        let shared = Arc::new(Shared {
            bus,
            client: client.clone(),
            server: Server::new(Arc::clone(&link)),
            keys,
            dead_letters,
            codec,
            min_idle: timing.min_idle,
            max_interruptions: config.max_interruptions,
            is_refusal_said: OnceAMinute::default(),
            is_upkeep_said: OnceAMinute::default(),
            room: Room::default(),
            pulse: Pulse::new(client.clone(), timing.min_idle),
        });
        let publisher = Arc::new(Publisher::new(Arc::clone(&shared), config.publish_timeout));
        let subscriptions = Arc::<RwLock<Vec<Arc<Subscription>>>>::default();
        let caretaker = Caretaker {
            shared: Arc::clone(&shared),
            publisher: Arc::clone(&publisher),
            subscriptions: Arc::clone(&subscriptions),
            trim_every: timing.trim_every,
            unheard: Unheard::new(config.unroutable),
        };
        let upkeep = Tasks::default();
        let name = TaskName::of_bus("looks after streams", Arc::clone(&shared.bus));
        upkeep.spawn(name, caretaker, |caretaker: &mut Caretaker| {
            Box::pin(async { match caretaker.run().await {} })
        })?;
        Ok(Self {
            shared,
            link,
            publisher,
            config,
            in_flight: InFlight::default(),
            stage: Stage::default(),
            subscriptions,
            subscribed: Tasks::default(),
            upkeep,
        })
    }

    fn all_subscriptions(&self) -> Vec<Arc<Subscription>> {
        read(&self.subscriptions).clone()
    }

    /// Ends all subscriptions: by what they hold, or without it.
    async fn end_all(&self) -> Result<(), BackendError> {
        for (how, limit) in [
            (Intake::Cancelled, self.config.publish_timeout),
            (Intake::Closed, self.config.publish_timeout.min(LEAVING)),
        ] {
            for subscription in self.all_subscriptions() {
                subscription.inbox.advance(how);
            }
            if self.subscribed.finish(limit).await {
                return Ok(());
            }
        }
        let operation = "acknowledge to Redis what had been handled";
        Err(BackendError::timed_out(operation, self.config.publish_timeout))
    }

    fn subscription(&self, spec: SubscriptionSpec) -> Subscription {
        let shared = &self.shared;
        let consumer = Uuid::new_v4().to_string();
        let capacity = if spec.broadcast {
            self.config.queue_capacity
        } else {
            self.config.prefetch_for(spec.concurrency, LEAST_PREFETCH) as usize
        };
        let name = subscriber_name(&spec.service, &spec.subscriber);
        let limits = Limits { prefetch: capacity, bytes: self.config.queue_bytes };
        let inbox = Inbox::new(spec.subscriber, limits, !spec.broadcast, self.in_flight.tally());
        let inbox = Arc::new(inbox);
        let settler = |group| Settler::new(Arc::clone(shared), Arc::clone(&inbox), group);
        if spec.broadcast {
            let source = Source::Broadcast(Broadcast {
                shared: Arc::clone(shared),
                inbox: Arc::clone(&inbox),
                consumer,
                name,
                topic: spec.topic,
                positions: Mutex::default(),
            });
            return Subscription { settler: settler(None), source, inbox };
        }
        let group = Arc::new(Group::new(name, consumer, spec.topic, &shared.keys));
        let reader = Reader {
            shared: Arc::clone(shared),
            inbox: Arc::clone(&inbox),
            group: Arc::clone(&group),
        };
        let keeper = Keeper {
            shared: Arc::clone(shared),
            inbox: Arc::clone(&inbox),
            group: Arc::clone(&group),
        };
        let source = Source::Group { reader, keeper };
        Subscription { settler: settler(Some(group)), source, inbox }
    }
}

impl Backend for StreamsBackend {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn publish(&self, event: Outgoing) -> MaybeReady<'_, Result<(), BackendError>> {
        if !self.stage.takes(event.origin, &self.in_flight) {
            return MaybeReady::ready(Err(BackendError::closed()));
        }
        match self.publisher.encode(&event) {
            Ok(encoded) => MaybeReady::pending(self.publisher.publish(encoded)),
            Err(error) => MaybeReady::ready(Err(error)),
        }
    }

    /// Sends events in chunks, each when the one before is confirmed, so that the order is kept whatever happens.
    fn publish_all<'a>(
        &'a self,
        events: &'a mut (dyn Iterator<Item = Outgoing> + Send),
    ) -> BoxFuture<'a, Vec<Result<(), BackendError>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(events.size_hint().0);
            loop {
                let mut chunk = Chunk::default();
                let mut failure = None;
                while !chunk.is_full() && failure.is_none() {
                    let Some(event) = events.next() else { break };
                    let encoded = match self.stage.takes(event.origin, &self.in_flight) {
                        true => self.publisher.encode(&event),
                        false => Err(BackendError::closed()),
                    };
                    match encoded {
                        Ok(event) => chunk.add(event),
                        Err(error) => failure = Some(error),
                    }
                }
                if chunk.events.is_empty() {
                    results.extend(failure.map(Err));
                    return results;
                }
                results.extend(self.publisher.publish_chunk(&chunk.events).await);
                if results.last().is_none_or(Result::is_err) {
                    return results;
                }
                if let Some(failure) = failure {
                    results.push(Err(failure));
                    return results;
                }
            }
        })
    }

    fn subscribe(
        &self,
        spec: SubscriptionSpec,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BackendError>> {
        Box::pin(async move {
            if !self.stage.is_open() {
                return Err(BackendError::closed());
            }
            let operation = format!("subscribe {} to {}", spec.subscriber, spec.topic);
            let limit = self.config.connect_timeout;
            self.link.suits_subscriber(&operation, spec.durable, limit).await?;
            let subscription = Arc::new(self.subscription(spec));
            persist(limit, || operation.clone(), || subscription.begin()).await?;
            subscription.inbox.set_live(true);
            let consumer = StreamConsumer::new(Arc::clone(&subscription.inbox));
            let (bus, subscriber) = (&self.shared.bus, &subscription.inbox.subscriber);
            let name =
                TaskName::of_subscriber("reads streams", Arc::clone(bus), Arc::clone(subscriber));
            let mut all = write(&self.subscriptions);
            if !self.stage.is_open() {
                return Err(BackendError::closed());
            }
            let running = Arc::clone(&subscription);
            self.subscribed.spawn(name, running, |subscription: &mut Arc<Subscription>| {
                Box::pin(Arc::clone(subscription).run())
            })?;
            all.push(subscription);
            Ok(Box::new(consumer) as Box<dyn Consumer>)
        })
    }

    fn dead_letters(
        &self,
        subscribers: &[Arc<str>],
    ) -> BoxFuture<'_, Result<Box<dyn DeadLetterReader>, BackendError>> {
        Box::pin(self.shared.dead_letters.read(subscribers.into()))
    }

    fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Reads nothing more; what has been read is handed out. What is published from now on, by handlers or other
    /// processes, stays on the server for the other processes or the next start.
    fn drain(&self) {
        self.stage.drain();
        for subscription in self.all_subscriptions() {
            subscription.inbox.advance(Intake::Draining);
        }
    }

    fn destination(
        &self,
        event: &EventName,
        _reader: Option<ServiceSubscriber<'_>>,
    ) -> Option<Destination> {
        let server = settings::server(self.config.url.as_ref());
        Some(settings::destination(self.shared.keys.stream(event.as_str()), server))
    }

    fn health(&self) -> Health {
        let subscriptions = self.all_subscriptions();
        let running = subscriptions.iter().filter(|it| it.inbox.intake() < Intake::Cancelled);
        let full = self.shared.room.problem();
        let is_up = self.stage.is_open() && self.shared.server.is_up() && full.is_none();
        let problem: Option<Arc<str>> = self.link.problem().map(Into::into);
        let health = |subscription: &Arc<Subscription>| {
            let mut health = subscription.inbox.health();
            // None can read without the connection of all, and an idle one may not have noticed.
            if let Some(problem) = &problem {
                (health.is_live, health.problem) = (false, Some(Arc::clone(problem)));
            }
            health
        };
        Health::new(is_up, running.map(health).collect())
            .with_problem(problem.clone().or(full))
            .with_dropped_dead_letters(self.shared.dead_letters.dropped())
    }

    /// Hands out what has been read, and waits until it is settled; past the publish timeout, leaves the rest to other
    /// processes. A server that does not answer is then given up.
    fn close(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(async {
            self.stage.close();
            let in_order = self.end_all().await;
            self.subscribed.close().await;
            self.link.close().await;
            self.upkeep.close().await;
            write(&self.subscriptions).clear();
            in_order
        })
    }
}
