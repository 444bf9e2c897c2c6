//! Any error of this crate.

use std::{error::Error as StdError, fmt};

use aury_events_backends::{BackendError, error::causes};

use super::{
    BackendFailure, PublishAllError, PublishError, ShutdownError, StartError, SubscribeError,
    UnknownBus,
};

/// Any error, as handlers return them.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Any error of this crate: what `main` returns.
///
/// Its `Debug` form is meant for people, since that is what a `main` that returns it prints: the message and its
/// causes.
#[non_exhaustive]
pub enum Error {
    /// The buses could not start.
    Start(StartError),
    /// `init` was called a second time in this process.
    AlreadyInitialised,
    /// There is no such bus, or none yet.
    UnknownBus(UnknownBus),
    /// An event could not be published.
    Publish(PublishError),
    /// Several events could not be published.
    PublishAll(PublishAllError),
    /// A subscription could not be made.
    Subscribe(SubscribeError),
    /// The backend of a bus failed.
    Backend(BackendFailure),
    /// A backend failed in a call that does not know its bus, such as `DeadLetter::replay`.
    BackendOperation(BackendError),
    /// Shutting down took too long.
    Shutdown(ShutdownError),
}

impl Error {
    fn inner(&self) -> &(dyn StdError + 'static) {
        match self {
            Self::Start(error) => error,
            Self::AlreadyInitialised => &ALREADY_INITIALISED,
            Self::UnknownBus(error) => error,
            Self::Publish(error) => error,
            Self::PublishAll(error) => error,
            Self::Subscribe(error) => error,
            Self::Backend(error) => error,
            Self::BackendOperation(error) => error,
            Self::Shutdown(error) => error,
        }
    }
}

const ALREADY_INITIALISED: AlreadyInitialised = AlreadyInitialised;

#[derive(Debug)]
struct AlreadyInitialised;

impl fmt::Display for AlreadyInitialised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the process's event buses have been initialised before; use `EventBusManager::builder()` and `start()` \
             for further managers",
        )
    }
}

impl StdError for AlreadyInitialised {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner(), f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        causes(self).try_for_each(|cause| write!(f, "\n  caused by: {cause}"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner().source()
    }
}

macro_rules! into_error {
    ($($variant:ident($error:ty)),* $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}
into_error! {
    Start(StartError),
    UnknownBus(UnknownBus),
    Publish(PublishError),
    PublishAll(PublishAllError),
    Subscribe(SubscribeError),
    Backend(BackendFailure),
    BackendOperation(BackendError),
    Shutdown(ShutdownError),
}
