//! A connection that is made again whenever it is lost.
//!
//! The client library's own `ConnectionManager` gives up after some attempts and notices a loss only when a command
//! fails, which a connection that just listens never sends. A [`Link`] looks after its connection by itself: it is
//! told at once when the socket ends, asks for a sign of life when it is silent, and tries again for ever.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use redis::{PushInfo, PushKind, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::connection::{RedisClient, is_refusal, within};
use crate::{error::BackendError, kit::Backoff};

/// How often a silent connection is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(2);

/// How long a connection may owe the answer to a `PING` or a subscription. Generous, since the answer queues behind
/// all that was asked before.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

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

/// A supervised connection. Whoever makes it runs [`supervise`](Self::supervise) in a task.
#[derive(Debug)]
pub(crate) struct Link<R> {
    role: Arc<R>,
    client: RedisClient,
    state: watch::Sender<State>,
    /// Tells the supervisor that the socket has ended.
    ended: Notify,
    /// The number of the latest attempt, by which the end of an old connection is told from that of its successor.
    latest: AtomicU64,
    /// The number of the latest connection that has ended, which may be before it was up.
    latest_ended: AtomicU64,
}

#[derive(Debug)]
enum State {
    Down,
    /// With the number of the attempt.
    Up(u64, MultiplexedConnection),
    /// For good.
    Closed,
}

impl<R: Role> Link<R> {
    /// A link that is down.
    pub(super) fn new(client: RedisClient, role: Arc<R>) -> Arc<Self> {
        Arc::new(Self {
            role,
            client,
            state: watch::Sender::new(State::Down),
            ended: Notify::new(),
            latest: AtomicU64::new(0),
            latest_ended: AtomicU64::new(0),
        })
    }

    /// Connects, waiting up to `limit` for a server that is late.
    ///
    /// # Errors
    ///
    /// When the server refuses us, as with a wrong password, at once; when it cannot be reached, past the limit.
    pub(crate) async fn connect(
        client: RedisClient,
        role: Arc<R>,
        limit: Duration,
    ) -> Result<Arc<Self>, BackendError> {
        let link = Self::new(client, role);
        let deadline = Instant::now() + limit;
        let address = link.client.address();
        let mut last = None;
        let connecting = link.keep_trying(|error| {
            if is_refusal(&error) {
                return ControlFlow::Break(error);
            }
            if last.is_none() {
                tracing::info!(address, purpose = R::PURPOSE, %error, "waiting for Redis");
            }
            last = Some(error);
            ControlFlow::Continue(())
        });
        let outcome = timeout_at(deadline, connecting).await;
        match outcome {
            Ok(Ok(())) => Ok(link),
            Ok(Err(refusal)) => {
                Err(BackendError::other(format!("connect to Redis at {address}"), refusal))
            }
            Err(_) => Err(match last {
                Some(error) => BackendError::other(
                    format!("connect to Redis at {address} within {limit:?}"),
                    error,
                ),
                None => BackendError::timed_out(format!("connect to Redis at {address}"), limit),
            }),
        }
    }

    /// Looks after the connection for ever: to be run in a task that is aborted in the end.
    pub(crate) async fn supervise(self: Arc<Self>) {
        let address = self.client.address();
        loop {
            let error = self.until_lost().await;
            self.set(|state| *state = State::Down);
            self.role.lost();
            let since = Instant::now();
            tracing::warn!(address, purpose = R::PURPOSE, %error, "lost the connection to Redis");
            let mut was_refused = false;
            let reconnecting = self.keep_trying(|error| {
                if is_refusal(&error) && !std::mem::replace(&mut was_refused, true) {
                    tracing::error!(address, purpose = R::PURPOSE, %error, "Redis refuses the connection");
                }
                ControlFlow::Continue(())
            });
            // Without a break, it ends with success alone.
            let _ = reconnecting.await;
            tracing::info!(
                address,
                purpose = R::PURPOSE,
                "restored the connection to Redis after {:?}",
                since.elapsed()
            );
        }
    }

    /// Tries to establish the connection until it stands, or `on_error` breaks off.
    async fn keep_trying(
        self: &Arc<Self>,
        mut on_error: impl FnMut(RedisError) -> ControlFlow<RedisError> + Send,
    ) -> Result<(), RedisError> {
        let mut backoff = Backoff::new();
        loop {
            let Err(error) = self.establish().await else { return Ok(()) };
            if let ControlFlow::Break(error) = on_error(error) {
                return Err(error);
            }
            sleep(backoff.next_wait()).await;
        }
    }

    /// One attempt: the connection is up when the role has prepared it.
    async fn establish(self: &Arc<Self>) -> Result<(), RedisError> {
        let number = self.latest.fetch_add(1, SeqCst) + 1;
        let (role, link) = (Arc::clone(&self.role), Arc::downgrade(self));
        let on_push = move |push: PushInfo| match push.kind {
            PushKind::Disconnection => Self::note_end(&link, number),
            _ => role.pushed(push),
        };
        let mut connection = self.client.open(on_push).await?;
        if let Err(error) = self.role.prepare(&mut connection).await {
            self.role.lost();
            return Err(error);
        }
        let mut connection = Some(connection);
        self.set(|state| match connection.take() {
            Some(connection) if self.latest_ended.load(SeqCst) < number => {
                *state = State::Up(number, connection);
            }
            _ => {}
        });
        Ok(())
    }

    /// From now on, whoever needs the connection waits for the next one.
    fn note_end(link: &Weak<Self>, number: u64) {
        let Some(link) = link.upgrade() else { return };
        link.latest_ended.fetch_max(number, SeqCst);
        link.set(|state| {
            if matches!(*state, State::Up(current, _) if current == number) {
                *state = State::Down;
            }
        });
        link.ended.notify_one();
    }

    /// Serves the role and asks for signs of life, until there is none.
    async fn until_lost(&self) -> RedisError {
        loop {
            let Some(mut connection) = self.current() else {
                return closed_by_peer();
            };
            tokio::select! {
                () = self.ended.notified() => {}
                () = self.role.changed() => {
                    if let Err(error) = self.role.prepare(&mut connection).await {
                        return error;
                    }
                }
                () = sleep(PING_EVERY) => {
                    let ping = redis::cmd("PING");
                    if let Err(error) = within(ANSWER, connection.send_packed_command(&ping)).await {
                        return error;
                    }
                }
            }
        }
    }

    /// Lets go of the connection for good; whoever waits for it is told.
    pub(crate) fn close(&self) {
        self.set(|state| *state = State::Closed);
    }

    /// Changes the state, unless it is closed.
    fn set(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let is_open = !matches!(state, State::Closed);
            if is_open {
                change(state);
            }
            is_open
        });
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(..))
    }

    fn current(&self) -> Option<MultiplexedConnection> {
        match &*self.state.borrow() {
            State::Up(_, connection) => Some(connection.clone()),
            State::Down | State::Closed => None,
        }
    }

    /// The connection, as soon as there is one.
    async fn connection(&self) -> Result<MultiplexedConnection, BackendError> {
        loop {
            if let Some(connection) = self.current() {
                return Ok(connection);
            }
            let mut state = self.state.subscribe();
            let state = state.wait_for(|state| !matches!(state, State::Down)).await;
            if state.is_ok_and(|state| matches!(*state, State::Closed)) {
                return Err(BackendError::closed());
            }
        }
    }

    /// Runs commands on the connection. The limit covers the wait for a connection that is down, and the answer.
    ///
    /// A command is not repeated when the connection is lost under it: the server may have carried it out.
    ///
    /// # Errors
    ///
    /// When the limit has passed, when the connection is lost before the answer, and what the server reports. After a
    /// timeout, and when the future is dropped, the command may be carried out all the same.
    pub(crate) async fn run<T, F>(
        &self,
        operation: impl Fn() -> String,
        limit: Duration,
        commands: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let running = async {
            let connection = self.connection().await?;
            commands(connection).await.map_err(|error| BackendError::other(operation(), error))
        };
        match timeout(limit, running).await {
            Ok(outcome) => outcome,
            Err(_) => Err(BackendError::timed_out(operation(), limit)),
        }
    }
}

fn closed_by_peer() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the server ended the connection")
        .into()
}
