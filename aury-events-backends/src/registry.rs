//! Backends by name: every linked crate can add one.

use std::{fmt, sync::Arc};

use crate::{
    backend::{Backend, Capabilities},
    config::BackendConfig,
    error::BackendError,
    maybe_ready::BoxFuture,
};

/// Makes a backend selectable by name, as in `EVENT_BACKEND=nats`.
///
/// A backend registers itself at link time, in whichever crate it lives, by `inventory` 0.3:
///
/// ```
/// use std::sync::Arc;
///
/// use aury_events_backends::{
///     Backend, BackendError, BackendFactory, BoxFuture, Capabilities, registry::Connect,
/// };
///
/// inventory::submit! {
///     BackendFactory::new("nats", Capabilities::NONE.patterns().remote(), connect)
/// }
///
/// fn connect(connect: Connect) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>> {
///     Box::pin(async move {
///         let url = connect.config.url.ok_or_else(|| BackendError::other("connect", "no URL"))?;
///         // … connect to `url.expose()`, and give an `Arc` of what implements `Backend`.
///         # let _ = url;
///         # Err(BackendError::closed())
///     })
/// }
/// ```
///
/// A program that links the crate can then choose it by name. It has to name the crate somewhere, if only by
/// `use the_crate as _;`: what is never named is not linked.
pub struct BackendFactory {
    name: &'static str,
    capabilities: Capabilities,
    connect: ConnectFn,
}

/// Connects to a backend.
pub type ConnectFn = fn(Connect) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>>;

/// What a backend is told when it is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connect {
    /// The name of the bus, for messages.
    pub bus: Arc<str>,
    /// The service that this process belongs to.
    pub service: Arc<str>,
    /// What the bus's own events carry as their source.
    pub source: &'static str,
    /// The configuration of the bus.
    pub config: BackendConfig,
}

impl Connect {
    /// What a backend is told.
    pub fn new(
        bus: impl Into<Arc<str>>,
        service: impl Into<Arc<str>>,
        source: &'static str,
        config: BackendConfig,
    ) -> Self {
        Self { bus: bus.into(), service: service.into(), source, config }
    }
}

inventory::collect!(BackendFactory);

impl BackendFactory {
    /// A factory that connects by `connect` whenever a bus's backend is `name`. What it promises is known before
    /// it connects, so that a subscriber which requires more stops start-up at once.
    pub const fn new(name: &'static str, capabilities: Capabilities, connect: ConnectFn) -> Self {
        Self { name, capabilities, connect }
    }

    /// What the backend promises.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The factory of that name, among all that are linked into the program.
    pub fn find(name: &str) -> Option<&'static Self> {
        inventory::iter::<Self>.into_iter().find(|factory| factory.name == name)
    }

    /// The names of all linked backends, sorted.
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<_> = inventory::iter::<Self>.into_iter().map(|f| f.name).collect();
        names.sort_unstable();
        names
    }

    /// Connects.
    pub fn connect(
        &self,
        connect: Connect,
    ) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>> {
        (self.connect)(connect)
    }
}

impl fmt::Debug for BackendFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BackendFactory").field(&self.name).finish()
    }
}
