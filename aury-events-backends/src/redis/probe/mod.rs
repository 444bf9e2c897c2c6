//! What the server is: asked at every connect, and compared with what a bus needs.
//!
//! - [`greet`]: what it says of itself, and whether it can be written to now, which is also the sign of life;
//! - [`rights`]: whether the user may do what subscribers need;
//! - [`eviction`]: what the server gives up when it is full;
//! - [`replication`]: whether it confirms events that its replicas do not have.

mod eviction;
mod hello;
mod replication;
mod rights;

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use redis::{RedisError, aio::MultiplexedConnection};

pub(crate) use self::hello::{is_unwritable, says};
use self::{
    eviction::Eviction,
    hello::{ServerInfo, Unwritable, Version, greet},
};
use crate::kit::lock;

/// The oldest Redis with all that streams need: `XPENDING … IDLE`, `XTRIM MINID`, exclusive ranges.
const STREAMS_SINCE: Version = Version(6, 2);

/// What the marks of handled events begin with in a cluster, so that one node has all of them.
pub(crate) const IN_ONE_SLOT: &str = "{handled}";

/// What a bus, or a part of it, does on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Streams,
    PubSub,
    Idempotency,
}

/// Asks a server what it is, for one bus.
#[derive(Debug)]
pub(crate) struct Probe {
    purpose: Use,
    prefix: String,
    /// A stream that never exists.
    key: String,
    is_cluster: AtomicBool,
    has_subscribers: AtomicBool,
    needs_durability: AtomicBool,
    /// Whether a replica takes the place of a primary that is gone, as Sentinels have it.
    has_sentinels: bool,
    /// What was warned of last.
    warned: Mutex<Option<String>>,
    /// Whether it was warned that a primary confirms alone.
    is_alone_said: AtomicBool,
}

/// Why a server is not taken.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It did not answer.
    Failed(RedisError),
    /// Another node of its cluster has our keys.
    Moved(String, u16),
    /// It may be usable soon.
    NotNow(Unwritable),
    /// Somebody has to change something.
    Unfit(Unfit),
}

/// What is wrong with a server, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    TooOld { product: String, version: Version },
    NoHashTag { prefix: String },
    Sentinel,
    Refuses(rights::Refused),
    Evicts { policy: String },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld { product, version } => write!(
                f,
                "the server is {product} {version}, and streams need Redis {STREAMS_SINCE} or later"
            ),
            Self::NoHashTag { prefix } => write!(
                f,
                "the server is a cluster, and the keys of a bus have to be on one node of it: write a prefix with a hash \
                 tag, as in KEY_PREFIX={{{}}}:",
                prefix.trim_end_matches(':')
            ),
            Self::Sentinel => f.write_str(
                "the server is a Sentinel: write `redis+sentinel://host:26379/primary-name`",
            ),
            Self::Refuses(refused) => write!(
                f,
                "the user lacks rights: {refused}; the documentation of the backend lists those that it needs"
            ),
            Self::Evicts { policy } => write!(
                f,
                "a `durable` subscriber needs a server that keeps its events, and this one deletes them when its memory is \
                 full (maxmemory-policy {policy}): set it to noeviction"
            ),
        }
    }
}

impl std::error::Error for Unfit {}

impl Probe {
    pub(crate) fn new(purpose: Use, prefix: &str, has_sentinels: bool) -> Self {
        Self {
            purpose,
            prefix: prefix.to_owned(),
            key: match purpose {
                // Wherever it is, its prefix may yet change.
                Use::Idempotency => format!("{IN_ONE_SLOT}:probe"),
                _ => format!("{prefix}:probe"),
            },
            is_cluster: AtomicBool::new(false),
            has_subscribers: AtomicBool::new(false),
            needs_durability: AtomicBool::new(false),
            has_sentinels,
            warned: Mutex::default(),
            is_alone_said: AtomicBool::new(false),
        }
    }

    /// Whether the server that was asked last is a node of a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.is_cluster.load(SeqCst)
    }

    /// From now on, servers have to suit a subscriber, too. Gives whether that is something new.
    pub(crate) fn require(&self, is_durable: bool) -> bool {
        let is_new = !self.has_subscribers.swap(true, SeqCst);
        (is_durable && !self.needs_durability.swap(true, SeqCst)) || is_new
    }

    /// Has the next subscriber ask once more.
    pub(crate) fn forget_requirements(&self) {
        self.has_subscribers.store(false, SeqCst);
        self.needs_durability.store(false, SeqCst);
    }

    /// Asks for a sign of life: whether the server can be written to.
    pub(crate) async fn ping(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), Unusable> {
        self.greet(connection).await.map(drop)
    }

    async fn greet(&self, connection: &mut MultiplexedConnection) -> Result<ServerInfo, Unusable> {
        match greet(connection, &self.key).await {
            Err(error) if is_unwritable(&error) => {
                Err(Unusable::NotNow(Unwritable::Refuses(error)))
            }
            Err(error) => Err(Unusable::Failed(error)),
            Ok((info, _)) if info.is_sentinel => Err(Unusable::Unfit(Unfit::Sentinel)),
            Ok((_, Some(unwritable))) if !self.is_in_spite_of(&unwritable) => {
                Err(match &unwritable {
                    Unwritable::Refuses(error) => match moved_to(error) {
                        Some((host, port)) => Unusable::Moved(host, port),
                        None => Unusable::NotNow(unwritable),
                    },
                    _ => Unusable::NotNow(unwritable),
                })
            }
            Ok((info, _)) => Ok(info),
        }
    }

    /// Pub/Sub goes on where nothing is written.
    fn is_in_spite_of(&self, unwritable: &Unwritable) -> bool {
        let is_about_writing = matches!(unwritable, Unwritable::Refuses(error)
            if says(error, "MISCONF") || says(error, "NOREPLICAS"));
        self.purpose == Use::PubSub && is_about_writing
    }

    /// Asks a server all that matters. The connection must be nobody else's yet.
    pub(crate) async fn examine(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), Unusable> {
        let info = self.greet(connection).await?;
        if self.purpose == Use::Streams && info.version < STREAMS_SINCE {
            let ServerInfo { product, version, .. } = info;
            return Err(Unusable::Unfit(Unfit::TooOld { product, version }));
        }
        self.is_cluster.store(info.is_cluster, SeqCst);
        if info.is_cluster && self.purpose != Use::Idempotency && !has_hash_tag(&self.prefix) {
            return Err(Unusable::Unfit(Unfit::NoHashTag { prefix: self.prefix.clone() }));
        }
        if self.has_subscribers.load(SeqCst) {
            let commands = match self.purpose {
                Use::Streams => rights::STREAMS,
                Use::PubSub => rights::PUBSUB,
                Use::Idempotency => rights::IDEMPOTENCY,
            };
            rights::check(connection, commands, &self.key)
                .await?
                .map_err(|refused| Unusable::Unfit(Unfit::Refuses(refused)))?;
        }
        if let Some((eviction, policy)) = eviction::policy(connection).await? {
            if eviction == Eviction::All && self.needs_durability.load(SeqCst) {
                return Err(Unusable::Unfit(Unfit::Evicts { policy }));
            }
            self.warn_of(eviction, policy);
        }
        if self.purpose == Use::Streams && (self.has_sentinels || info.is_cluster) {
            self.warn_if_alone(replication::confirms_alone(connection).await?);
        }
        Ok(())
    }

    /// Warns, once, of a primary that goes on confirming when another one has taken its place.
    fn warn_if_alone(&self, confirms_alone: bool) {
        if confirms_alone && !self.is_alone_said.swap(true, SeqCst) {
            tracing::warn!(
                prefix = self.prefix,
                "a failover of Redis may lose confirmed events: set min-replicas-to-write to the number of replicas"
            );
        }
    }

    /// Warns of what may be lost, once.
    fn warn_of(&self, eviction: Eviction, policy: String) {
        let lost = match (self.purpose, eviction) {
            (_, Eviction::None) | (Use::PubSub, Eviction::Expiring) => None,
            (Use::Streams, Eviction::All) => Some("events that are not handled yet"),
            (Use::Streams, Eviction::Expiring) => {
                Some("the signs of life of processes, whose events others handle once more")
            }
            (Use::PubSub, Eviction::All) => Some("dead letters"),
            (Use::Idempotency, _) => {
                Some("which events were handled, so that they are handled again")
            }
        };
        let warned = lost.map(|_| policy.clone());
        let mut last = lock(&self.warned);
        if let Some(lost) = lost
            && *last != warned
        {
            tracing::warn!(
                prefix = self.prefix,
                policy,
                "when its memory is full, Redis forgets {lost}: set maxmemory-policy to noeviction"
            );
        }
        *last = warned;
    }
}

impl From<RedisError> for Unusable {
    fn from(error: RedisError) -> Self {
        if is_unwritable(&error) {
            Self::NotNow(Unwritable::Refuses(error))
        } else {
            Self::Failed(error)
        }
    }
}

/// Whether all keys with that prefix are in one slot of a cluster.
fn has_hash_tag(prefix: &str) -> bool {
    let tag = prefix.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    tag.is_some_and(|(tag, _)| !tag.is_empty())
}

/// Where the keys are, if the error says so.
fn moved_to(error: &RedisError) -> Option<(String, u16)> {
    if error.code() != Some("MOVED") {
        return None;
    }
    let (node, _) = error.redirect_node()?;
    let (host, port) = node.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_tag_has_something_in_braces() {
        for prefix in ["{shop}:", "a{b}c", "{a}{b}"] {
            assert!(has_hash_tag(prefix), "{prefix}");
        }
        for prefix in ["events:", "{}:", "{a", "}a{", "{}{a}"] {
            assert!(!has_hash_tag(prefix), "{prefix}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_remedy() {
        let unfit = Unfit::NoHashTag { prefix: "events:".to_owned() };
        assert!(unfit.to_string().ends_with("KEY_PREFIX={events}:"));
        let unfit = Unfit::TooOld { product: "redis".to_owned(), version: Version(6, 0) };
        assert_eq!(
            unfit.to_string(),
            "the server is redis 6.0, and streams need Redis 6.2 or later"
        );
    }
}
