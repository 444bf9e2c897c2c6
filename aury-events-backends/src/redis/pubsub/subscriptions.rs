//! The connection that listens: what the server is asked for, and where its messages go.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use redis::{PushInfo, PushKind, RedisError, Value, aio::MultiplexedConnection};
use tokio::sync::{Notify, mpsc, watch};

use super::{
    memo::Memo,
    queue::Queue,
    replay::parts,
    topics::{Kind, Plan, Status, Targets, Topics},
};
use crate::{
    backend::SubscriptionHealth,
    envelope::{Envelope, EventName, Topic},
    in_flight::Tally,
    kit::lock,
    redis::{
        codec::Codec,
        connection::within,
        dead_letters::{MAX_RAW, Undecodable},
        link::{ANSWER, Role},
    },
};

/// A connection that is there again after so short a time was ended by a server that was there all the time.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How much may wait until it is stored.
const STORING: usize = 256;

/// What is to be done in the store of dead letters.
pub(super) enum ToStore {
    /// A message is no event.
    Undecodable(Undecodable),
    /// The letter of that id has been taken back by its subscriber.
    Replayed { subscriber: Arc<str>, id: String },
}

/// All subscriptions of this process on one bus.
pub(super) struct Subscriptions {
    prefix: String,
    codec: Codec,
    topics: Mutex<Topics>,
    /// Told whenever the topics have changed.
    changed: Arc<Notify>,
    is_draining: AtomicBool,
    memo: Mutex<Memo>,
    to_store: mpsc::Sender<ToStore>,
    /// Counts what is not stored yet.
    storing: Arc<Tally>,
    /// When the connection was lost, if there is no other one yet.
    gap: Mutex<Option<Instant>>,
}

impl Subscriptions {
    /// No subscriptions yet, and what is to be stored.
    ///
    /// Whoever stores the latter settles each with `storing`.
    pub(super) fn new(
        prefix: String,
        codec: Codec,
        storing: Arc<Tally>,
    ) -> (Self, mpsc::Receiver<ToStore>) {
        let (to_store, storable) = mpsc::channel(STORING);
        let subscriptions = Self {
            prefix,
            codec,
            topics: Mutex::default(),
            changed: Arc::default(),
            is_draining: AtomicBool::new(false),
            memo: Mutex::default(),
            to_store,
            storing,
            gap: Mutex::default(),
        };
        (subscriptions, storable)
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        // No step leaves the topics half changed.
        lock(&self.topics)
    }

    /// What a queue tells when it takes no more.
    pub(super) fn closing(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Adds a queue, unless all is closed; gives the status of the subscriptions that it needs: to its topic, and to
    /// `replays`, the channel by which its dead letters come back.
    pub(super) fn add(
        &self,
        topic: Topic,
        replays: String,
        queue: Arc<Queue>,
    ) -> Option<[watch::Receiver<Status>; 2]> {
        let status = self.topics().add(&self.prefix, topic, replays, queue);
        self.changed.notify_one();
        status
    }

    /// Takes in nothing from now on.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, SeqCst);
    }

    /// Takes in nothing from now on; what the queues hold is still handed out.
    pub(super) fn close(&self) {
        self.drain();
        let queues = self.topics().close();
        queues.iter().for_each(|queue| queue.close());
    }

    pub(super) fn health(&self) -> Vec<SubscriptionHealth> {
        self.topics().queues().map(|(queue, is_live)| queue.health(is_live)).collect()
    }

    /// Takes a message that came by a subscription.
    fn take(&self, kind: Kind, key: &[u8], channel: &[u8], message: Vec<u8>) {
        let (targets, has_globs) = {
            let topics = self.topics();
            (topics.targets(kind, key), topics.has_globs())
        };
        let Some(targets) = targets else {
            return if kind == Kind::Channel {
                self.take_replayed(channel, &message)
            };
        };
        if self.is_draining.load(SeqCst) {
            return;
        }
        let decoded = match kind {
            Kind::Glob => self.decode_once(&targets, key, channel, message),
            _ => self.decode(&targets, channel, message, has_globs),
        };
        if let Some(envelope) = decoded {
            deliver(&targets, kind, envelope);
        }
    }

    /// Takes a dead letter back. While the bus drains, it stays one.
    fn take_replayed(&self, channel: &[u8], message: &[u8]) {
        let targets = self.topics().targets(Kind::Replay, channel);
        let (Some(targets), Some((id, message))) = (targets, parts(message)) else { return };
        if self.is_draining.load(SeqCst) {
            return;
        }
        // In flight until it is removed.
        self.storing.accept();
        let Ok(place) = self.to_store.try_reserve() else { return self.storing.settle() };
        let name = match targets.first() {
            Some((Topic::Event(name), _)) => name.clone(),
            // An event says itself what it is.
            _ => EventName::from_static("unknown"),
        };
        let queues = targets.iter().map(|(_, queue)| queue);
        // One channel, one subscriber.
        let subscriber = queues.clone().next().map(|queue| Arc::clone(queue.subscriber()));
        let is_taken = match self.codec.decode(message, &name) {
            Ok(envelope) => queues.fold(false, |taken, queue| queue.add(envelope.clone()) | taken),
            Err(reason) => {
                self.report(queues, &name, message, &reason);
                true
            }
        };
        match subscriber {
            Some(subscriber) if is_taken => {
                place.send(ToStore::Replayed { subscriber, id: id.to_owned() });
            }
            _ => self.storing.settle(),
        }
    }

    /// The envelope of a message that came by a glob, unless it is the one that came by another subscription just now.
    fn decode_once(
        &self,
        targets: &Targets,
        glob: &[u8],
        channel: &[u8],
        message: Vec<u8>,
    ) -> Option<Envelope> {
        let known = self.memo().recall(glob, &message);
        if known.is_some() {
            return known;
        }
        let decoded = self.decode(targets, channel, message, true)?;
        self.memo().is_known_to(glob);
        Some(decoded)
    }

    fn decode(
        &self,
        targets: &Targets,
        channel: &[u8],
        message: Vec<u8>,
        remember: bool,
    ) -> Option<Envelope> {
        let name = match targets.first() {
            Some((Topic::Event(name), _)) => name.clone(),
            _ => self.name_of(channel)?,
        };
        match self.codec.decode(&message, &name) {
            Ok(envelope) => {
                if remember {
                    self.memo().remember(message, envelope.clone());
                }
                Some(envelope)
            }
            Err(reason) => {
                let concerned = targets.iter().filter(|(topic, _)| topic.matches(&name));
                let queues = concerned.map(|(_, queue)| queue);
                self.report(queues, &name, &message, &reason);
                None
            }
        }
    }

    fn memo(&self) -> MutexGuard<'_, Memo> {
        // Worst of all, it forgets.
        lock(&self.memo)
    }

    /// The name of the event that belongs on a channel, if it is one of ours: a glob may select others.
    fn name_of(&self, channel: &[u8]) -> Option<EventName> {
        let channel = str::from_utf8(channel).ok()?;
        EventName::parse(channel.strip_prefix(&self.prefix)?).ok()
    }

    /// Has an undecodable message stored for everybody who should have been given it.
    #[cold]
    fn report<'a>(
        &self,
        queues: impl Iterator<Item = &'a Arc<Queue>>,
        name: &EventName,
        raw: &[u8],
        reason: &str,
    ) {
        for queue in queues {
            let letter = Undecodable {
                name: name.clone(),
                raw: raw[..raw.len().min(MAX_RAW)].into(),
                subscriber: Arc::clone(queue.subscriber()),
                reason: reason.to_owned(),
            };
            self.storing.accept();
            let is_kept = self.to_store.try_send(ToStore::Undecodable(letter)).is_ok();
            if !is_kept {
                self.storing.settle();
            }
            tracing::error!(
                subscriber = %queue.subscriber(),
                event = %name,
                bytes = raw.len(),
                reason,
                is_kept,
                "a message is no event: it becomes a dead letter"
            );
        }
    }

    /// Says that events were lost between two connections.
    fn report_gap(&self) {
        let Some(gap) = lock(&self.gap).take() else { return };
        let gap = gap.elapsed();
        if gap > AT_ONCE {
            tracing::info!(
                prefix = self.prefix,
                "what was published on Redis during the last {gap:?} has not reached this process"
            );
            return;
        }
        // The server was there all the time: it has ended the connection.
        tracing::warn!(
            prefix = self.prefix,
            "Redis ended the connection for subscriptions, and events are lost that were on their way. It does so when a \
             process reads too slowly: if that is the case, raise client-output-buffer-limit for pubsub"
        );
    }

    /// Subscribes to what is not confirmed yet.
    async fn subscribe(
        &self,
        connection: &mut MultiplexedConnection,
        kind: Kind,
        keys: &[Box<[u8]>],
    ) -> Result<(), RedisError> {
        let Err(error) = ask(connection, kind, keys).await else {
            self.topics().set_status(kind, keys, &Status::Live);
            return Ok(());
        };
        if is_about_the_connection(&error) {
            return Err(error);
        }
        // One of them is not allowed; which one shows when each is asked for by itself.
        for key in keys {
            let key = std::slice::from_ref(key);
            let status = match ask(connection, kind, key).await {
                Ok(()) => Status::Live,
                Err(error) if is_about_the_connection(&error) => return Err(error),
                Err(error) => Status::Refused(error.to_string().into()),
            };
            self.topics().set_status(kind, key, &status);
        }
        Ok(())
    }
}

/// Hands an envelope to all queues that it is for.
fn deliver(targets: &Targets, kind: Kind, envelope: Envelope) {
    let name = envelope.metadata().name();
    // A channel is its subscribers' event by name; a glob selects more than the pattern means.
    let is_for = |topic: &Topic| kind == Kind::Channel || topic.matches(name);
    for (_, queue) in targets.iter().filter(|(topic, _)| is_for(topic)) {
        queue.add(envelope.clone());
    }
}

async fn ask(
    connection: &mut MultiplexedConnection,
    kind: Kind,
    keys: &[Box<[u8]>],
) -> Result<(), RedisError> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
    match kind {
        _ if keys.is_empty() => Ok(()),
        Kind::Channel | Kind::Replay => within(ANSWER, connection.subscribe(keys)).await,
        Kind::Glob => within(ANSWER, connection.psubscribe(keys)).await,
    }
}

async fn give_up(connection: &mut MultiplexedConnection, plan: Plan) -> Result<(), RedisError> {
    let keys = |keys: &[Box<[u8]>]| keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>();
    for channels in [&plan.channels, &plan.replays] {
        if !channels.is_empty() {
            within(ANSWER, connection.unsubscribe(keys(channels))).await?;
        }
    }
    if !plan.globs.is_empty() {
        within(ANSWER, connection.punsubscribe(keys(&plan.globs))).await?;
    }
    Ok(())
}

/// Whether the connection is at fault, not what was asked for.
fn is_about_the_connection(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}

impl Role for Subscriptions {
    const PURPOSE: &'static str = "subscriptions";

    fn pushed(&self, PushInfo { kind, data }: PushInfo) {
        let mut data = data.into_iter();
        let mut next = || match data.next() {
            Some(Value::BulkString(bytes)) => Some(bytes),
            _ => None,
        };
        match kind {
            PushKind::Message => {
                if let (Some(channel), Some(message)) = (next(), next()) {
                    self.take(Kind::Channel, &channel, &channel, message);
                }
            }
            PushKind::PMessage => {
                if let (Some(glob), Some(channel), Some(message)) = (next(), next(), next()) {
                    self.take(Kind::Glob, &glob, &channel, message);
                }
            }
            _ => {}
        }
    }

    async fn prepare(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let surplus = self.topics().give_up_unneeded();
        give_up(connection, surplus).await?;
        let Plan { channels, globs, replays } = self.topics().unconfirmed();
        self.subscribe(connection, Kind::Replay, &replays).await?;
        self.subscribe(connection, Kind::Channel, &channels).await?;
        self.subscribe(connection, Kind::Glob, &globs).await?;
        self.report_gap();
        Ok(())
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        self.changed.notified()
    }

    fn lost(&self) {
        let topics = self.topics();
        if topics.queues().any(|(_, is_live)| is_live) {
            *lock(&self.gap) = Some(Instant::now());
        }
        topics.forget_confirmations();
    }
}
