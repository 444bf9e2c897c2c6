//! Backends by name: every linked crate can add one.

mod absent;

use std::{fmt, sync::Arc};

pub use self::absent::Absent;
use crate::{
    backend::{Backend, Capabilities},
    config::{AnySetting, BackendConfig},
    error::BackendError,
    maybe_ready::BoxFuture,
    strict::Strict,
};

/// Makes a backend selectable by name, as in `EVENT_BACKEND=nats`: its argument is a [`BackendFactory`].
///
/// A backend registers itself at link time, in whichever crate it lives. Nothing else has to know of it.
///
/// ```
/// use std::{sync::Arc, time::Duration};
///
/// use aury_events_backends::{
///     Backend, BackendError, BackendFactory, BoxFuture, Capabilities,
///     config::{Setting, read},
///     register_backend,
///     registry::Connect,
/// };
///
/// register_backend!(
///     BackendFactory::new("nats", Capabilities::NONE.patterns().remote(), connect)
///         .url(&["nats", "nats+tls"], "nats://localhost:4222")
///         .settings(&[&PING_INTERVAL])
/// );
///
/// /// `EVENT_PING_INTERVAL`, or `EVENT_ORDERS_PING_INTERVAL` for the bus `orders`.
/// static PING_INTERVAL: Setting<Duration> =
///     Setting::new("PING_INTERVAL", "How often the server is asked", "20s", read::duration);
///
/// fn connect(connect: Connect) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>> {
///     Box::pin(async move {
///         let ping_interval = connect.config.get(&PING_INTERVAL);
///         let url = connect.config.url.expect("a bus whose backend takes a URL has one");
///         // … connect to `url.expose()`, and give an `Arc` of what implements `Backend`.
///         # let _ = (url, ping_interval);
///         # Err(BackendError::closed())
///     })
/// }
/// ```
///
/// A program that links the crate can then choose it by name, or by a URL with one of its schemes. It has to name the
/// crate somewhere, if only by `use the_crate as _;`: what is never named is not linked.
#[macro_export]
macro_rules! register_backend {
    ($factory:expr $(,)?) => {
        $crate::__private::inventory::submit! { $factory }
    };
}

/// What a backend declares about itself: see [`register_backend!`](crate::register_backend).
pub struct BackendFactory {
    name: &'static str,
    capabilities: Capabilities,
    connect: ConnectFn,
    schemes: &'static [&'static str],
    example_url: &'static str,
    is_only_by_name: bool,
    settings: &'static [&'static dyn AnySetting],
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
    ///
    /// Without [`url`](Self::url), it takes none.
    pub const fn new(name: &'static str, capabilities: Capabilities, connect: ConnectFn) -> Self {
        Self {
            name,
            capabilities,
            connect,
            schemes: &[],
            example_url: "",
            is_only_by_name: false,
            settings: &[],
        }
    }

    /// Says that it needs a URL: with which schemes, in lower case, and what one looks like, for messages. A URL with
    /// one of them means this backend, where no other is named.
    #[must_use]
    pub const fn url(mut self, schemes: &'static [&'static str], example: &'static str) -> Self {
        self.schemes = schemes;
        self.example_url = example;
        self
    }

    /// Says that its schemes mean another backend by themselves: this one is chosen by name only.
    #[must_use]
    pub const fn only_by_name(mut self) -> Self {
        self.is_only_by_name = true;
        self
    }

    /// Adds the settings that it has beside those of [every backend](crate::config::COMMON).
    #[must_use]
    pub const fn settings(mut self, settings: &'static [&'static dyn AnySetting]) -> Self {
        self.settings = settings;
        self
    }

    /// The name by which it is chosen.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the backend promises.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The schemes of the URLs that it takes. With none, it takes no URL.
    pub fn schemes(&self) -> &'static [&'static str] {
        self.schemes
    }

    /// What a URL for it looks like.
    pub fn example_url(&self) -> &'static str {
        self.example_url
    }

    /// Whether a URL of that scheme means this backend by itself.
    pub fn is_meant_by(&self, scheme: &str) -> bool {
        !self.is_only_by_name && self.schemes.contains(&scheme)
    }

    /// Its settings beside those of every backend.
    pub fn own_settings(&self) -> &'static [&'static dyn AnySetting] {
        self.settings
    }

    /// Its own setting of that name.
    pub fn own_setting(&self, name: &str) -> Option<&'static dyn AnySetting> {
        self.settings.iter().copied().find(|setting| setting.name() == name)
    }

    /// All that are linked into the program, by name.
    pub fn all() -> Vec<&'static Self> {
        let mut all: Vec<_> = inventory::iter::<Self>.into_iter().collect();
        all.sort_by_key(|factory| factory.name);
        all
    }

    /// The factory of that name, among all that are linked into the program.
    pub fn find(name: &str) -> Option<&'static Self> {
        inventory::iter::<Self>.into_iter().find(|factory| factory.name == name)
    }

    /// The names of all linked backends, sorted.
    pub fn names() -> Vec<&'static str> {
        Self::all().into_iter().map(|factory| factory.name).collect()
    }

    /// Connects. On a bus that is [`strict`](crate::BackendConfig::strict), every event is proven before it is published.
    pub fn connect(
        &self,
        connect: Connect,
    ) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>> {
        let (is_strict, limit) = (connect.config.strict, connect.config.max_payload_bytes);
        let connecting = (self.connect)(connect);
        if !is_strict {
            return connecting;
        }
        Box::pin(
            async move { Ok(Arc::new(Strict::new(connecting.await?, limit)) as Arc<dyn Backend>) },
        )
    }
}

impl fmt::Debug for BackendFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BackendFactory").field(&self.name).finish()
    }
}
