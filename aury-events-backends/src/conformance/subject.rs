//! What the suite has to know of a backend.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use crate::{
    backend::Backend, envelope::EventName, error::BackendError, maybe_ready::BoxFuture,
    registry::Connect,
};

/// A backend under test.
///
/// [`connect`](Self::connect) is all that it takes. The other methods let the suite look further; each one is
/// optional, and a check that needs what is missing says so.
pub trait Subject: Send + Sync + 'static {
    /// Connects as another process would: with connections of its own, sharing nothing in memory.
    ///
    /// `process.bus` is a name that no other check has, so that checks can share a server: a backend whose buses are not
    /// kept apart by their names needs a setting made of it. The URL is the subject's to fill in, too.
    fn connect(
        &self,
        process: Connect,
    ) -> impl Future<Output = Result<Arc<dyn Backend>, BackendError>> + Send;

    /// Does something to the server. It has happened when the future completes; after [`Fault::Start`] and
    /// [`Fault::Resume`], the server answers.
    fn inflict(&self, fault: Fault) -> impl Future<Output = Result<(), Unsupported>> + Send {
        std::future::ready(Err(Unsupported::new(format!("the subject cannot {fault}"))))
    }

    /// Sends bytes, which need not be an event, to where events of that name go, past the backend under test.
    fn publish_raw(
        &self,
        process: &Connect,
        name: &EventName,
        bytes: &[u8],
    ) -> impl Future<Output = Result<(), Unsupported>> + Send {
        let _ = (process, name, bytes);
        std::future::ready(Err(Unsupported::new("the subject cannot send raw bytes")))
    }

    /// Within which time what a dead process had taken is delivered to another one. Default: 30 seconds.
    fn redelivery_time(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Within which time after the server's return events flow again. Default: 2 seconds.
    fn recovery_time(&self) -> Duration {
        Duration::from_secs(2)
    }
}

/// What can happen to a server and the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It is shut down in order.
    Stop,
    /// It is ended at once (`SIGKILL`).
    Kill,
    /// It is started again after `Stop` or `Kill`, at the same place and with the data that it kept.
    Start,
    /// It stops to answer, with all connections open (`SIGSTOP`).
    Pause,
    /// It goes on after `Pause`.
    Resume,
    /// Every connection to it breaks; new ones are accepted.
    CutConnections,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop the server",
            Self::Kill => "kill the server",
            Self::Start => "start the server",
            Self::Pause => "pause the server",
            Self::Resume => "resume the server",
            Self::CutConnections => "cut the connections",
        })
    }
}

/// Why a check does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported(Cow<'static, str>);

impl Unsupported {
    /// Says what is not supported.
    pub fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

/// [`Subject`] as checks see it, which need not know which one it is.
pub(super) trait AnySubject: Send + Sync {
    fn connect(&self, process: Connect) -> BoxFuture<'_, Result<Arc<dyn Backend>, BackendError>>;

    fn inflict(&self, fault: Fault) -> BoxFuture<'_, Result<(), Unsupported>>;

    fn publish_raw<'a>(
        &'a self,
        process: &'a Connect,
        name: &'a EventName,
        bytes: &'a [u8],
    ) -> BoxFuture<'a, Result<(), Unsupported>>;

    fn redelivery_time(&self) -> Duration;

    fn recovery_time(&self) -> Duration;
}

impl<S: Subject> AnySubject for S {
    fn connect(&self, process: Connect) -> BoxFuture<'_, Result<Arc<dyn Backend>, BackendError>> {
        Box::pin(Subject::connect(self, process))
    }

    fn inflict(&self, fault: Fault) -> BoxFuture<'_, Result<(), Unsupported>> {
        Box::pin(Subject::inflict(self, fault))
    }

    fn publish_raw<'a>(
        &'a self,
        process: &'a Connect,
        name: &'a EventName,
        bytes: &'a [u8],
    ) -> BoxFuture<'a, Result<(), Unsupported>> {
        Box::pin(Subject::publish_raw(self, process, name, bytes))
    }

    fn redelivery_time(&self) -> Duration {
        Subject::redelivery_time(self)
    }

    fn recovery_time(&self) -> Duration {
        Subject::recovery_time(self)
    }
}
