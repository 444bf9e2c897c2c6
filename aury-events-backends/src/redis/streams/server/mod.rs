//! Commands to the server, over the connection that all of a bus shares.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use redis::{Cmd, ErrorKind, Pipeline, RedisError, Value};

mod entry;
mod group;
mod keys;

pub(crate) use self::{
    entry::{
        EVENT, Entry, EntryId, Taken, parse_entries, parse_pending, parse_streams, parse_taken,
    },
    group::{Group, RETRIES, Stream, join_all, known_events, subscribers},
    keys::Keys,
};
use crate::{
    error::BackendError,
    kit::{AttemptError, Deadline, retry},
    redis::{
        link::{Commands, Connection, Link},
        probe::{is_unwritable, says},
    },
};

/// How long the server may take to answer housekeeping, a reconnection in between included.
const ANSWER: Duration = Duration::from_secs(5);

/// The server, as far as commands that do not block are concerned.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    link: Arc<Link<Commands>>,
}

/// Why a command has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection has been closed by us, lost, or is silent. The command may have been carried out.
    Unreachable(BackendError),
    /// The server said no.
    Refused(RedisError),
}

/// Commands for [`Server::ask_all`], none yet.
pub(crate) fn commands() -> Pipeline {
    let mut commands = redis::pipe();
    commands.ignore_errors();
    commands
}

impl Server {
    pub(crate) fn new(link: Arc<Link<Commands>>) -> Self {
        Self { link }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// The connection, as soon as there is one.
    pub(crate) async fn connection(&self) -> Result<Connection, BackendError> {
        self.link.ready().await
    }

    /// Runs a command.
    ///
    /// Dropping the future leaves it open whether the command is carried out.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value, Failure> {
        let operation = || "run a command on Redis".to_owned();
        let asking = self.link.run(operation, ANSWER, async move |mut connection: Connection| {
            Ok::<_, BackendError>(command.query_async::<Value>(&mut *connection).await)
        });
        Ok(asking.await??)
    }

    /// Runs many [`commands`] in one go, and gives what the server said to each. One that it refuses does not keep it
    /// from those that follow.
    pub(crate) async fn ask_all(
        &self,
        commands: &Pipeline,
    ) -> Result<Vec<Result<Value, RedisError>>, Failure> {
        let operation = || "run commands on Redis".to_owned();
        let asking = self.link.run(operation, ANSWER, async move |mut connection: Connection| {
            Ok::<_, BackendError>(commands.query_async::<Vec<Value>>(&mut *connection).await)
        });
        let values = asking.await??;
        Ok(values.into_iter().map(Value::extract_error).collect())
    }
}

impl Failure {
    /// Whether the same command may succeed soon: the server is out of reach, is loading its data, or is not the
    /// primary at the moment.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(error) => !error.is_closed(),
            Self::Refused(error) => is_passing(error),
        }
    }

    pub(crate) fn is_missing_group(&self) -> bool {
        matches!(self, Self::Refused(error) if is_missing_group(error))
    }
}

/// Repeats an attempt while it may yet succeed, up to the limit: see [`retry`].
pub(crate) async fn persist<T, F: Future<Output = Result<T, Failure>>>(
    limit: Duration,
    operation: impl Fn() -> String,
    attempt: impl Fn() -> F,
) -> Result<T, BackendError> {
    let attempt = || {
        let attempt = attempt();
        async { attempt.await.map_err(AttemptError::from) }
    };
    retry(Deadline::after(limit), operation, attempt).await
}

/// Whether the same command may succeed soon.
pub(crate) fn is_passing(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Io
        || is_unwritable(error)
        // A part of a cluster is on its way to another node.
        || ["ASK", "TRYAGAIN"].into_iter().any(|code| says(error, code))
}

/// Whether a stream or group is not there (any more), as after `FLUSHALL`. Scripts wrap the code in a message.
pub(crate) fn is_missing_group(error: &RedisError) -> bool {
    error.code() == Some("NOGROUP") || error.to_string().contains("NOGROUP")
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::Unreachable(error)
    }
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        let is_passing = failure.is_passing();
        match failure {
            Failure::Unreachable(error) => error.into(),
            Failure::Refused(error) if is_passing => Self::transient(error),
            Failure::Refused(error) => Self::refused(error),
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        if error.kind() == ErrorKind::Io {
            Self::Unreachable(BackendError::other("reach Redis", error))
        } else {
            Self::Refused(error)
        }
    }
}

impl Failure {
    /// The failure as that of an operation.
    pub(crate) fn of(self, operation: impl Into<String>) -> BackendError {
        match self {
            Self::Unreachable(error) if error.is_closed() => error,
            Self::Unreachable(error) => BackendError::other(operation, error),
            Self::Refused(error) => BackendError::other(operation, error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => fmt::Display::fmt(error, f),
            Self::Refused(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for Failure {}
