//! The connections of a bus to its Redis server, supervised by a [`kit::Link`](crate::kit::Link).
//!
//! The client library tells at once when a socket has ended, by the last of what it pushes. A connection is asked for a
//! sign of life all the time: a server that has become a replica keeps the connections of its clients open.

use std::{error::Error, sync::Arc, time::Duration};

use redis::{PushInfo, RedisError, aio::MultiplexedConnection};
use tokio::{select, time::sleep};

pub(crate) use super::connection::{ANSWER, Connection};
use super::connection::{OnPush, RedisClient, closed_by_peer, failed};
use crate::{
    error::BackendError,
    kit::{self, AttemptError, Connector, Pause, catch, retry},
};

/// How often a connection is asked for a sign of life. What has happened to its server is known soon after.
const PING_EVERY: Duration = Duration::from_secs(1);

/// A supervised connection to Redis.
pub(crate) type Link<R> = kit::Link<RedisConnector<R>>;

/// What a connection is for.
pub(crate) trait Role: Send + Sync + 'static {
    /// The word for it in log lines.
    const PURPOSE: &'static str;

    /// Takes what the server pushes. Called from the task that reads the socket: it must not block.
    fn pushed(&self, push: PushInfo);

    /// Brings the server's side of the connection to what is wanted now: once before the connection counts as up, and
    /// again whenever [`changed`](Self::changed) completes.
    fn prepare(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = Result<(), RedisError>> + Send;

    /// Waits until there is something to prepare anew. Cancel safe.
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// Takes note that the connection is gone, and with it what was prepared.
    fn lost(&self);
}

/// A connection for commands: nothing is pushed and nothing needs preparation.
#[derive(Debug)]
pub(crate) struct Commands;

impl Role for Commands {
    const PURPOSE: &'static str = "commands";

    fn pushed(&self, _push: PushInfo) {}

    async fn prepare(&self, _connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        Ok(())
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    fn lost(&self) {}
}

/// Opens connections for a role, and watches them.
pub(crate) struct RedisConnector<R> {
    client: RedisClient,
    role: Arc<R>,
}

impl<R: Role> RedisConnector<R> {
    pub(crate) fn new(client: RedisClient, role: Arc<R>) -> Self {
        Self { client, role }
    }

    /// The client that opens the connections.
    pub(crate) fn client(&self) -> &RedisClient {
        &self.client
    }

    /// Serves the role and asks for signs of life, until there is none.
    async fn serve(&self, connection: &Connection) -> Box<dyn Error + Send + Sync> {
        let mut commands = connection.clone();
        loop {
            select! {
                () = connection.ended() => return closed_by_peer().into(),
                () = self.role.changed() => {
                    if let Err(error) = self.role.prepare(&mut commands).await {
                        return error.into();
                    }
                }
                pinged = self.ping(connection) => {
                    if let Err(error) = pinged {
                        return error.into_cause();
                    }
                }
            }
        }
    }

    async fn ping(&self, connection: &Connection) -> Result<(), AttemptError> {
        sleep(PING_EVERY).await;
        self.client.ping(connection).await
    }
}

/// Sees to it that a server suits subscribers.
pub(crate) trait SuitsSubscriber {
    /// Whether the server does all that a subscriber needs: asked now, and whenever there is a new connection.
    ///
    /// # Errors
    ///
    /// When it does not, with what to do; when it cannot be asked within the limit.
    fn suits_subscriber(
        &self,
        operation: &str,
        is_durable: bool,
        limit: Duration,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;
}

impl<R: Role> SuitsSubscriber for Link<R> {
    async fn suits_subscriber(
        &self,
        operation: &str,
        is_durable: bool,
        limit: Duration,
    ) -> Result<(), BackendError> {
        let asking = || async {
            let connection = self.ready().await?;
            self.connector().client().suits_subscriber(&connection, is_durable).await
        };
        retry(limit, || operation.to_owned(), asking).await
    }
}

impl<R: Role> Connector for RedisConnector<R> {
    type Connection = Connection;

    fn server(&self) -> &str {
        "Redis"
    }

    fn address(&self) -> &str {
        self.client.address()
    }

    fn purpose(&self) -> &str {
        R::PURPOSE
    }

    /// The connection is open when the role has prepared it.
    async fn open(&self) -> Result<Connection, AttemptError> {
        let role = Arc::clone(&self.role);
        let on_push: OnPush = Arc::new(move |push| {
            // One message that makes a panic does not end the connection of all.
            catch(|| role.pushed(push)).unwrap_or_else(|panic| {
                tracing::error!(purpose = R::PURPOSE, panic, "a message from Redis made a panic");
            });
        });
        let mut connection = self.client.open(&on_push).await?;
        if let Err(error) = self.role.prepare(&mut connection).await {
            self.role.lost();
            return Err(failed(connection.address(), error));
        }
        Ok(connection)
    }

    async fn until_lost(
        &self,
        connection: &Connection,
        _pause: Pause<'_>,
    ) -> Box<dyn Error + Send + Sync> {
        let reason = self.serve(connection).await;
        self.cut(connection);
        reason
    }

    fn has_ended(&self, connection: &Connection) -> bool {
        connection.has_ended()
    }

    fn cut(&self, connection: &Connection) {
        connection.end();
        self.role.lost();
    }
}
