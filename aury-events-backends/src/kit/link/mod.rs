//! A connection that is made again whenever it is lost.
//!
//! Client libraries recover by themselves up to a point: after some attempts they give up, and everything that waits
//! for the connection hangs; or they notice a loss only when a command fails, which a connection that just listens
//! never sends. A [`Link`] looks after its connection in a task of its own, and tries again for ever.

use std::{error::Error, fmt, pin::pin, sync::Arc, time::Duration};

use tokio::{
    select,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{AttemptError, Backoff, Deadline, LogThrottle, TaskName, retry::late, supervise};
use crate::error::{BackendError, WithCauses};

/// How the connections of a [`Link`] are made and watched.
pub trait Connector: Send + Sync + 'static {
    /// An open connection, as its users get it. Dropping the last clone ends it.
    type Connection: Clone + Send + Sync + 'static;

    /// The server's name in messages, as in `Redis`.
    fn server(&self) -> &str;

    /// Where the server is, without a password.
    fn address(&self) -> &str;

    /// What the connection is for, in a word, as in `publishing`.
    fn purpose(&self) -> &str;

    /// Opens a connection: one attempt, with a time limit of its own. The connection is ready for use when this is
    /// done, logged in and prepared.
    fn open(&self) -> impl Future<Output = Result<Self::Connection, AttemptError>> + Send;

    /// Watches a connection until it is of no use any more; gives the reason. `pause` is told, with a reason, when the
    /// server takes nothing for the moment, and with `None` when it does again.
    fn until_lost(
        &self,
        connection: &Self::Connection,
        pause: Pause<'_>,
    ) -> impl Future<Output = Box<dyn Error + Send + Sync>> + Send;

    /// Whether a connection is known to have ended, before [`until_lost`](Self::until_lost) has said so.
    fn has_ended(&self, connection: &Self::Connection) -> bool {
        let _ = connection;
        false
    }

    /// Ends a connection at once: the server does not answer on it.
    fn cut(&self, connection: &Self::Connection) {
        let _ = connection;
    }

    /// Ends a connection that nobody looks after any more, since its link was dropped or the runtime has ended, without
    /// waiting. What has been handed to it still leaves the process.
    fn release(&self, connection: Self::Connection) {
        drop(connection);
    }

    /// Ends a connection in order; it takes no more than some seconds.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send {
        drop(connection);
        async {}
    }
}

/// Tells a [`Link`] why its server takes nothing for the moment, and with `None` that it does again.
pub type Pause<'a> = &'a (dyn Fn(Option<&str>) + Send + Sync);

/// A supervised connection: it is made again whenever it is lost, with waits that [grow](Backoff), until it is
/// [closed](Self::close) or dropped.
///
/// Each change of its state is one line of the log; while it is down, there is one more a minute.
pub struct Link<C: Connector> {
    shared: Arc<Shared<C>>,
    supervisor: JoinHandle<()>,
}

struct Shared<C: Connector> {
    connector: C,
    state: watch::Sender<State<C::Connection>>,
    /// Why the connection is to be ended, though it stands.
    distrust: watch::Sender<Option<Arc<str>>>,
}

enum State<T> {
    Down {
        since: Instant,
        reason: Arc<str>,
    },
    Up {
        connection: T,
        /// Why the server takes nothing for the moment.
        paused: Option<Arc<str>>,
    },
    /// For good.
    Closed,
}

/// What the supervisor knows of an outage, until a connection lasts again.
struct Outage {
    /// `None` while a connection lasts.
    since: Option<Instant>,
    /// Whether connections were made and ended at once.
    is_unstable: bool,
    log: LogThrottle<Trouble>,
    backoff: Backoff,
}

impl Default for Outage {
    fn default() -> Self {
        let (log, backoff) = (LogThrottle::new(), Backoff::new());
        Self { since: None, is_unstable: false, log, backoff }
    }
}

/// What is logged as a state, while there is no connection that lasts.
#[derive(Debug, PartialEq)]
enum Trouble {
    Away,
    Refused,
    /// Connections are made, and end at once.
    Unstable,
}

/// The wait after a server has refused us: somebody has to change something first.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);

/// How long a connection has to last before its end is a new outage.
const STEADY: Duration = Duration::from_secs(5);

impl<C: Connector> Link<C> {
    /// Connects, waiting until the deadline for a server that is late. To be called inside a runtime.
    ///
    /// # Errors
    ///
    /// When the server refuses us, as with a wrong password, at once. When it cannot be reached, past the deadline.
    pub async fn connect(
        connector: C,
        deadline: impl Into<Deadline>,
    ) -> Result<Arc<Self>, BackendError> {
        let shared = Arc::new(Shared::new(connector));
        shared.connect_first(&deadline.into()).await?;
        let name = TaskName {
            task: "looks after a connection",
            bus: shared.connector.purpose().into(),
            subscriber: None,
        };
        let supervisor =
            tokio::spawn(supervise(name, Arc::clone(&shared), |shared: &mut Arc<Shared<C>>| {
                Box::pin(shared.keep_connected())
            }));
        Ok(Arc::new(Self { shared, supervisor }))
    }

    /// One that never is connected.
    #[cfg(all(test, feature = "redis"))]
    pub(crate) fn down(connector: C) -> Arc<Self> {
        let supervisor = tokio::spawn(std::future::ready(()));
        Arc::new(Self { shared: Arc::new(Shared::new(connector)), supervisor })
    }

    /// How connections are made.
    pub fn connector(&self) -> &C {
        &self.shared.connector
    }

    /// Whether there is a connection, and the server takes what it is sent.
    pub fn is_up(&self) -> bool {
        self.shared.usable(&self.shared.state.borrow()).is_some()
    }

    /// What is wrong with the connection, if anything.
    pub fn problem(&self) -> Option<String> {
        self.shared.problem()
    }

    /// Waits until there is a connection, and the server takes what it is sent. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the link is closed.
    pub async fn ready(&self) -> Result<C::Connection, BackendError> {
        if let Some(connection) = self.shared.usable(&self.shared.state.borrow()) {
            return Ok(connection.clone());
        }
        let mut state = self.shared.state.subscribe();
        let is_settled = |state: &State<C::Connection>| {
            matches!(state, State::Closed) || self.shared.usable(state).is_some()
        };
        // The sender is ours, so that waiting does not fail.
        let state = state.wait_for(is_settled).await;
        match state.as_deref() {
            Ok(State::Up { connection, .. }) => Ok(connection.clone()),
            _ => Err(BackendError::closed()),
        }
    }

    /// Does something with the connection, once. The deadline covers the wait for a connection that is down, and the
    /// answer.
    ///
    /// Nothing is repeated when the connection is lost meanwhile: the server may have carried it out.
    ///
    /// # Errors
    ///
    /// What `work` fails with. Past the deadline, an error for which `is_not_connected()` holds and that tells why, or,
    /// when there was a connection, one for which `is_timeout()` holds. After the latter, and when the future is
    /// dropped, it may be carried out all the same.
    pub async fn run<T, E, F>(
        &self,
        operation: impl Fn() -> String,
        deadline: impl Into<Deadline>,
        work: impl FnOnce(C::Connection) -> F,
    ) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let deadline = deadline.into();
        let Ok(ready) = deadline.bound(self.ready()).await else {
            let problem = self.problem().map(Into::into);
            return Err(BackendError::not_connected(operation(), problem));
        };
        let working = work(ready?);
        match deadline.bound(working).await {
            Ok(outcome) => outcome.map_err(|error| BackendError::other(operation(), error)),
            Err(_) => Err(BackendError::timed_out(operation(), deadline.limit())),
        }
    }

    /// Ends a connection that stands but is of no use, so that another one is made: the server does not answer on it, or
    /// has become one that does not serve us. One on which it takes nothing for the moment is left alone.
    pub fn abandon(&self, reason: &str) {
        if self.is_up() {
            self.shared.distrust.send_replace(Some(reason.into()));
        }
    }

    /// Ends the connection at once, if there is one, from whatever thread: the server gives what it held to others. Another
    /// one is made when the runtime comes to it.
    pub fn cut(&self) {
        if let State::Up { connection, .. } = &*self.shared.state.borrow() {
            self.shared.connector.cut(connection);
        }
    }

    /// Ends the connection for good; whoever waits for one is told. Repeating it changes nothing.
    pub async fn close(&self) {
        let last = self.shared.state.send_replace(State::Closed);
        self.supervisor.abort();
        if let State::Up { connection, .. } = last {
            self.shared.connector.close(connection).await;
        }
    }
}

impl<C: Connector> Drop for Link<C> {
    fn drop(&mut self) {
        let last = self.shared.state.send_replace(State::Closed);
        self.supervisor.abort();
        if let State::Up { connection, .. } = last {
            self.shared.connector.release(connection);
        }
    }
}

impl<C: Connector> fmt::Debug for Link<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { connector, .. } = &*self.shared;
        f.debug_struct("Link")
            .field("address", &connector.address())
            .field("purpose", &connector.purpose())
            .field("problem", &self.problem())
            .finish()
    }
}

/// A connection that somebody looks after. When nobody does any more, since the runtime has ended, it is ended: what
/// the server has given it is for others then.
struct Watched<'a, C: Connector> {
    shared: &'a Shared<C>,
    connection: &'a C::Connection,
    /// Whether it has ended by itself.
    is_lost: bool,
}

impl<C: Connector> Drop for Watched<'_, C> {
    fn drop(&mut self) {
        // One that is closed ends in order.
        if !self.is_lost && !self.shared.is_closed() {
            self.shared.connector.release(self.connection.clone());
            self.shared.set_down("nobody looks after the connection: the runtime has ended");
        }
    }
}

impl<C: Connector> Shared<C> {
    fn new(connector: C) -> Self {
        let reason = "there has been no attempt yet".into();
        let state = watch::Sender::new(State::Down { since: Instant::now(), reason });
        Self { connector, state, distrust: watch::Sender::default() }
    }

    fn usable<'a>(&self, state: &'a State<C::Connection>) -> Option<&'a C::Connection> {
        match state {
            State::Up { connection, paused: None } if !self.connector.has_ended(connection) => {
                Some(connection)
            }
            _ => None,
        }
    }

    fn problem(&self) -> Option<String> {
        let (server, purpose) = (self.connector.server(), self.connector.purpose());
        match &*self.state.borrow() {
            State::Up { connection, paused: None } if self.connector.has_ended(connection) => {
                Some(format!("the connection to {server} for {purpose} has just been lost"))
            }
            State::Up { paused: None, .. } => None,
            State::Up { paused: Some(reason), .. } => {
                Some(format!("{server} has blocked the connection for {purpose}: {reason}"))
            }
            State::Down { since, reason } => Some(format!(
                "not connected to {server} for {purpose} since {} s: {reason}",
                since.elapsed().as_secs()
            )),
            State::Closed => Some("the bus has been shut down".to_owned()),
        }
    }

    async fn connect_first(&self, deadline: &Deadline) -> Result<(), BackendError> {
        let (server, address) = (self.connector.server(), self.connector.address());
        let operation = || format!("connect to {server} at {address}");
        let (throttle, mut last) = (LogThrottle::new(), None);
        let mut backoff = Backoff::new();
        while !deadline.has_passed() {
            match deadline.bound(self.connector.open()).await {
                Ok(Ok(connection)) => {
                    self.set(State::Up { connection, paused: None });
                    return Ok(());
                }
                Ok(Err(AttemptError::Transient(error))) => {
                    if throttle.is_due(Trouble::Away) {
                        tracing::info!(
                            address,
                            purpose = self.connector.purpose(),
                            error = %WithCauses(&*error),
                            "waiting for {server}"
                        );
                    }
                    last = Some(error);
                }
                Ok(Err(error)) => return Err(error.into_error(operation())),
                Err(_) => break,
            }
            sleep(backoff.next_wait().min(deadline.left())).await;
        }
        Err(late(operation(), deadline, last))
    }

    /// Looks after the connection until the link is closed.
    async fn keep_connected(&self) {
        let mut outage = Outage::default();
        loop {
            let current = match &*self.state.borrow() {
                State::Up { connection, .. } => Some(connection.clone()),
                State::Down { .. } => None,
                State::Closed => return,
            };
            match current {
                Some(connection) => self.look_after(connection, &mut outage).await,
                None => self.reconnect(&mut outage).await,
            }
        }
    }

    /// Stays with a connection until it is lost.
    async fn look_after(&self, connection: C::Connection, outage: &mut Outage) {
        let pause = |reason: Option<&str>| self.pause(reason);
        let mut watched = Watched { shared: self, connection: &connection, is_lost: false };
        let reason: Box<dyn Error + Send + Sync> = {
            let mut lost = pin!(self.connector.until_lost(&connection, &pause));
            let mut steady = pin!(sleep(STEADY));
            loop {
                select! {
                    reason = &mut lost => break reason,
                    reason = self.distrusted() => {
                        self.connector.cut(&connection);
                        break (*reason).into();
                    }
                    () = &mut steady, if outage.since.is_some() => {
                        if outage.is_unstable {
                            self.log_restored(outage);
                        }
                        *outage = Outage::default();
                    }
                }
            }
        };
        let error = WithCauses(&*reason).to_string();
        watched.is_lost = true;
        drop(watched);
        drop(connection);
        self.set_down(&error);
        if self.is_closed() {
            return;
        }
        let (server, address) = (self.connector.server(), self.connector.address());
        let purpose = self.connector.purpose();
        if outage.since.is_none() {
            outage.since = Some(Instant::now());
            outage.log.is_due(Trouble::Away);
            tracing::warn!(address, purpose, error, "lost the connection to {server}");
            return;
        }
        outage.is_unstable = true;
        if outage.log.is_due(Trouble::Unstable) {
            tracing::warn!(
                address,
                purpose,
                error,
                "the connection to {server} is lost again and again"
            );
        }
        sleep(outage.backoff.next_wait()).await;
    }

    async fn distrusted(&self) -> Arc<str> {
        let mut distrust = self.distrust.subscribe();
        // The sender is ours, so that waiting does not fail.
        let reason = distrust.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    }

    /// Attempts once to connect, and waits after a failure.
    async fn reconnect(&self, outage: &mut Outage) {
        let error = match self.connector.open().await {
            Ok(connection) => {
                // What was said of the one before does not count.
                self.distrust.send_replace(None);
                self.set(State::Up { connection, paused: None });
                if !outage.is_unstable {
                    self.log_restored(outage);
                }
                return;
            }
            Err(error) => error,
        };
        let (server, address) = (self.connector.server(), self.connector.address());
        let purpose = self.connector.purpose();
        let mut wait = outage.backoff.next_wait();
        let reason = match error {
            AttemptError::Transient(error) => {
                let error = WithCauses(&*error).to_string();
                if outage.log.is_due(Trouble::Away) {
                    tracing::warn!(address, purpose, error, "cannot connect to {server}");
                }
                error
            }
            AttemptError::Refused(error) => {
                let error = WithCauses(&*error).to_string();
                if outage.log.is_due(Trouble::Refused) {
                    tracing::error!(address, purpose, error, "{server} refuses the connection");
                }
                wait = wait.max(AFTER_REFUSAL);
                error
            }
            AttemptError::Closed => return self.set(State::Closed),
        };
        self.note_reason(&reason);
        sleep(wait).await;
    }

    fn log_restored(&self, outage: &Outage) {
        let (server, address) = (self.connector.server(), self.connector.address());
        let after = outage.since.map_or(Duration::ZERO, |since| since.elapsed());
        tracing::info!(
            address,
            purpose = self.connector.purpose(),
            "restored the connection to {server} after {after:?}"
        );
    }

    /// Takes note of why it cannot be reached now.
    fn note_reason(&self, error: &str) {
        self.state.send_if_modified(|state| {
            if let State::Down { reason, .. } = state
                && **reason != *error
            {
                *reason = error.into();
            }
            // Nobody waits for a reason.
            false
        });
    }

    fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::Closed)
    }

    fn pause(&self, reason: Option<&str>) {
        let (server, address) = (self.connector.server(), self.connector.address());
        let purpose = self.connector.purpose();
        match reason {
            Some(reason) => {
                tracing::warn!(address, purpose, reason, "{server} takes nothing for the moment");
            }
            None => tracing::info!(address, purpose, "{server} takes messages again"),
        }
        self.state.send_if_modified(|state| {
            let State::Up { paused, .. } = state else { return false };
            *paused = reason.map(Arc::from);
            true
        });
    }

    fn set_down(&self, reason: &str) {
        self.set(State::Down { since: Instant::now(), reason: reason.into() });
    }

    /// Changes the state, unless it is closed.
    fn set(&self, new: State<C::Connection>) {
        self.state.send_if_modified(|state| {
            let is_open = !matches!(state, State::Closed);
            if is_open {
                *state = new;
            }
            is_open
        });
    }
}

#[cfg(test)]
mod tests;
