//! Which events were handled, on a Redis server: for all processes of a service, and for some time.

use std::{sync::Arc, time::Duration};

use super::{
    connection::RedisClient,
    link::{ANSWER, Commands, Connection, Link, RedisConnector},
    probe::{IN_ONE_SLOT, Use},
    settings::KEY_PREFIX,
};
use crate::{
    config::BackendConfig,
    error::BackendError,
    idempotency::{IdempotencyKey, IdempotencyStore},
    maybe_ready::BoxFuture,
};

/// How long an event is remembered, unless said otherwise: a day.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Remembers on a Redis server, so that the processes of a service share it and it outlives them, for a set time.
///
/// It has a connection of its own, which is made again whenever it is lost. Each event is a key of the server,
/// `{prefix}handled:{service}/{subscriber}/{event}`, that expires. On a cluster, the word `{handled}` in braces stands
/// before it, so that one node has all of them.
///
/// While its server is away, or is not the primary, asking and marking fail after five seconds; it connects again by
/// itself.
///
/// Two processes that are given copies of an event at the same moment may both handle it, since neither has handled it
/// when they ask.
#[derive(Debug)]
pub struct RedisIdempotency {
    link: Arc<Link<Commands>>,
    prefix: String,
    remembered: Duration,
}

impl RedisIdempotency {
    /// Connects to the server at `url`, as in `redis://user:password@host:6379/0`; it is waited for up to 30 seconds.
    ///
    /// # Errors
    ///
    /// When `url` is none of a Redis server, when the server refuses us, and when it cannot be reached.
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        let mut config = BackendConfig::default();
        let url = url.parse();
        config.url =
            Some(url.map_err(|error| BackendError::other("read the URL of Redis", error))?);
        let prefix = config.get(&KEY_PREFIX);
        let client = RedisClient::new(&config, Use::Idempotency, &prefix)?;
        let connector = RedisConnector::new(client, Arc::new(Commands));
        let link = Link::connect(connector, config.connect_timeout).await?;
        Ok(Self { link, prefix, remembered: REMEMBERED })
    }

    /// Sets how long an event is remembered, at least a millisecond. Default: a day.
    ///
    /// It has to be longer than it may take until a copy comes: an event that waits for a retry, or in the queue of a
    /// service that stands still.
    #[must_use]
    pub fn remember_for(mut self, time: Duration) -> Self {
        self.remembered = time.max(Duration::from_millis(1));
        self
    }

    /// Sets what the server's keys begin with. Default: `events:`.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    fn name_of(&self, key: &IdempotencyKey) -> String {
        let slot = if self.link.connector().client().is_cluster() { IN_ONE_SLOT } else { "" };
        format!("{slot}{}handled:{key}", self.prefix)
    }
}

impl IdempotencyStore for RedisIdempotency {
    fn is_handled<'a>(
        &'a self,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<bool, BackendError>> {
        let operation =
            move || format!("ask Redis whether `{}` has handled an event", key.subscriber());
        let ask = move |mut connection: Connection| async move {
            redis::cmd("EXISTS").arg(self.name_of(key)).query_async(&mut *connection).await
        };
        Box::pin(self.link.run(operation, ANSWER, ask))
    }

    fn mark_handled<'a>(
        &'a self,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        let operation =
            move || format!("tell Redis that `{}` has handled an event", key.subscriber());
        let millis = u64::try_from(self.remembered.as_millis()).unwrap_or(u64::MAX);
        let mark = move |mut connection: Connection| async move {
            let mut set = redis::cmd("SET");
            set.arg(self.name_of(key)).arg("").arg("PX").arg(millis);
            set.query_async(&mut *connection).await
        };
        Box::pin(self.link.run(operation, ANSWER, mark))
    }
}
