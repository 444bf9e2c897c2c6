//! Connections to the server of a bus: which one it is, how its sockets are set, and how long an attempt may take.

use std::{
    fmt, io,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, PushInfo, PushKind,
    RedisError, ServerErrorKind,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio::sync::watch;

use super::{
    address::{Address, at, shown},
    probe::{Probe, Unusable, Use},
    scope::Scope,
    sentinels::{NotNamed, Sentinels},
    tls::TlsFiles,
};
use crate::{config::BackendConfig, error::BackendError, kit::AttemptError};

/// The longest that one attempt to connect may take, TLS and log-in included. A new attempt finds a server that has
/// just come back sooner than one that waits for lost packets to be sent again.
const ATTEMPT: Duration = Duration::from_secs(3);

/// How long a connection may owe an answer. Generous, since the answer queues behind all that was asked before.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// How long a silent peer is probed, and how long sent data may stay unacknowledged, until the system gives the socket
/// up.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often one node of a cluster may send us to another one, before we begin anew.
const REDIRECTS: usize = 3;

/// Opens connections to the Redis server of one bus: to the one, of those that the URL names, that can be written to.
///
/// All of them speak RESP3 (Redis 6 or later), in which messages are pushed beside replies. No command has a time
/// limit of its own: whoever sends one sets it, with [`within`].
#[derive(Debug, Clone)]
pub(crate) struct RedisClient {
    place: Arc<Place>,
    probe: Arc<Probe>,
    /// The URL, its password masked.
    address: Arc<str>,
    attempt: Duration,
}

#[derive(Debug)]
enum Place {
    Servers {
        servers: Vec<ConnectionInfo>,
        /// The one that could be written to last.
        latest: AtomicUsize,
    },
    Sentinels(Box<Sentinels>),
}

/// An open connection. It is shared by all who send commands, and ends for all of them.
#[derive(Clone)]
pub(crate) struct Connection {
    commands: MultiplexedConnection,
    server: Arc<Server>,
}

/// The server at the other end of a connection.
struct Server {
    at: ConnectionInfo,
    has_ended: watch::Sender<bool>,
}

/// Takes what a server pushes.
pub(crate) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

impl RedisClient {
    /// A client for the server at `config.url`, which keys with this prefix are written to. It does not connect yet.
    ///
    /// # Errors
    ///
    /// When there is no URL, or none that names a Redis server.
    pub(crate) fn new(
        config: &BackendConfig,
        purpose: Use,
        prefix: &str,
    ) -> Result<Self, BackendError> {
        Ok(Self::at(Self::address_of(config)?, config, purpose, prefix))
    }

    fn address_of(config: &BackendConfig) -> Result<Address, BackendError> {
        let url = config.url.as_ref().ok_or_else(|| {
            BackendError::other("connect to Redis", "no URL is set, as in `redis://localhost:6379`")
        })?;
        Address::parse(url, &TlsFiles::of(config))
    }

    fn at(address: Address, config: &BackendConfig, purpose: Use, prefix: &str) -> Self {
        let place = match address {
            Address::Servers(servers) => Place::Servers { servers, latest: AtomicUsize::new(0) },
            Address::Sentinels { sentinels, primary, login } => {
                Place::Sentinels(Box::new(Sentinels::new(sentinels, primary, *login)))
            }
        };
        let has_sentinels = matches!(place, Place::Sentinels(_));
        Self {
            place: Arc::new(place),
            probe: Arc::new(Probe::new(purpose, prefix, has_sentinels)),
            address: config.url.as_ref().map(ToString::to_string).unwrap_or_default().into(),
            attempt: config.connect_timeout.min(ATTEMPT),
        }
    }

    /// A client for a bus of that name, and what names of the bus begin with.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn for_bus(
        config: &BackendConfig,
        purpose: Use,
        bus: &str,
    ) -> Result<(Self, Scope), BackendError> {
        let address = Self::address_of(config)?;
        let scope = Scope::of(bus, config, address.database());
        Ok((Self::at(address, config, purpose, &scope.keys), scope))
    }

    /// The URL, its password masked.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether the server is a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.probe.is_cluster()
    }

    /// Opens a connection to a server that can be written to: one attempt, logged in and with the database chosen. What
    /// the server is has been asked, and suits the bus.
    ///
    /// `on_push` is called with all that the server pushes, from the task that reads the socket: it must not block.
    pub(crate) async fn open(&self, on_push: &OnPush) -> Result<Connection, AttemptError> {
        match &*self.place {
            Place::Sentinels(sentinels) => {
                let named = sentinels.primary().await.map_err(|error| match error {
                    NotNamed::Silent(_) => AttemptError::transient(error),
                    NotNamed::Unknown(_) => AttemptError::refused(error),
                })?;
                self.open_or_follow(&named.primary, on_push).await
            }
            Place::Servers { servers, latest } => {
                let first = latest.load(SeqCst);
                let mut failure = None;
                for number in (0..servers.len()).map(|it| (first + it) % servers.len()) {
                    match self.open_or_follow(&servers[number], on_push).await {
                        Ok(connection) => {
                            latest.store(number, SeqCst);
                            return Ok(connection);
                        }
                        // A server that is there and says why it cannot be used tells more than one that is not.
                        Err(error) => failure = Some(more_telling(failure, error)),
                    }
                }
                Err(failure.unwrap_or_else(|| AttemptError::refused("the URL names no server")))
            }
        }
    }

    /// Opens a connection to this server, or to that one of its cluster that has our keys.
    async fn open_or_follow(
        &self,
        info: &ConnectionInfo,
        on_push: &OnPush,
    ) -> Result<Connection, AttemptError> {
        let mut info = info.clone();
        for _ in 0..=REDIRECTS {
            let mut connection =
                self.connect(&info, on_push).await.map_err(|error| failed(info.addr(), error))?;
            match answered(self.probe.examine(&mut connection.commands)).await {
                Ok(()) => return Ok(connection),
                Err(Unusable::Moved(host, port)) => {
                    // A node that does not know its own address means itself.
                    let host = if host.is_empty() { host_of(&info) } else { host };
                    info = at(&info, &host, port);
                }
                Err(why) => return Err(unusable(info.addr(), why)),
            }
        }
        Err(AttemptError::transient("the nodes of the cluster do not agree who has our keys"))
    }

    async fn connect(
        &self,
        info: &ConnectionInfo,
        on_push: &OnPush,
    ) -> Result<Connection, RedisError> {
        let info = info.clone().set_tcp_settings(tcp_settings());
        let server = Arc::new(Server { at: info.clone(), has_ended: watch::Sender::new(false) });
        let (on_push, ending) = (Arc::clone(on_push), Arc::clone(&server));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.attempt))
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                // The last of what is pushed.
                match push.kind {
                    PushKind::Disconnection => _ = ending.has_ended.send_replace(true),
                    _ => on_push(push),
                }
                Ok::<(), ()>(())
            });
        let client = Client::open(info)?;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let commands = within(self.attempt, connecting).await?;
        Ok(Connection { commands, server })
    }

    /// Opens one more connection to the server of another one, for commands that would hold up the others. It is to be
    /// used no longer than until that one [has ended](Connection::ended).
    pub(crate) async fn open_beside(
        &self,
        other: &Connection,
    ) -> Result<MultiplexedConnection, RedisError> {
        let on_push: OnPush = Arc::new(|_| ());
        Ok(self.connect(&other.server.at, &on_push).await?.commands)
    }

    /// Asks for a sign of life: the server answers, can be written to, and is the one to write to.
    pub(crate) async fn ping(&self, connection: &Connection) -> Result<(), AttemptError> {
        let mut commands = connection.commands.clone();
        let address = connection.server.at.addr();
        let pinging = async {
            let pinged = answered(self.probe.ping(&mut commands)).await;
            pinged.map_err(|why| unusable(address, why))
        };
        let Place::Sentinels(sentinels) = &*self.place else { return pinging.await };
        let looking = async {
            match sentinels.primary().await {
                Ok(named) if named.is_agreed && named.primary.addr() != address => {
                    let other = shown(named.primary.addr());
                    Err(AttemptError::transient(format!(
                        "the Sentinels name {other} as the primary"
                    )))
                }
                // Sentinels that are away do not take the primary away.
                _ => Ok(()),
            }
        };
        tokio::try_join!(pinging, looking).map(drop)
    }

    /// Sees to it that the server suits a subscriber: now, and whenever there is a new connection.
    ///
    /// # Errors
    ///
    /// When it does not: that says what to do.
    pub(crate) async fn suits_subscriber(
        &self,
        connection: &Connection,
        is_durable: bool,
    ) -> Result<(), AttemptError> {
        if !self.probe.require(is_durable) {
            return Ok(());
        }
        // The rights are asked for in a transaction, which no other command must get into.
        let address = connection.server.at.addr();
        let examining = async {
            let mut own = self.open_beside(connection).await?;
            self.probe.examine(&mut own).await
        };
        answered(examining).await.map_err(|why| {
            self.probe.forget_requirements();
            unusable(address, why)
        })
    }
}

/// Waits for what a server says about itself.
async fn answered<T>(asking: impl Future<Output = Result<T, Unusable>>) -> Result<T, Unusable> {
    within(ANSWER, async { Ok(asking.await) }).await?
}

impl Connection {
    /// Where its server is.
    pub(crate) fn address(&self) -> &ConnectionAddr {
        self.server.at.addr()
    }

    /// Whether it is of no use any more.
    pub(crate) fn has_ended(&self) -> bool {
        *self.server.has_ended.borrow()
    }

    /// Waits until it is of no use any more: the socket has ended, or its server is not the one to use. Cancel safe.
    pub(crate) async fn ended(&self) {
        // The sender is ours, so that waiting does not fail.
        let _ = self.server.has_ended.subscribe().wait_for(|has_ended| *has_ended).await;
    }

    /// Has everybody let go of it.
    pub(crate) fn end(&self) {
        self.server.has_ended.send_replace(true);
    }

    /// Does something with another connection to the same server, while this one lasts.
    pub(crate) async fn while_it_lasts<T>(
        &self,
        working: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, RedisError> {
        tokio::select! {
            biased;
            outcome = working => outcome,
            () = self.ended() => Err(closed_by_peer()),
        }
    }
}

pub(crate) fn closed_by_peer() -> RedisError {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection to the server has ended").into()
}

impl Deref for Connection {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &MultiplexedConnection {
        &self.commands
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut MultiplexedConnection {
        &mut self.commands
    }
}

fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(PEER_TIMEOUT / 2)
        .with_interval(PEER_TIMEOUT / 10)
        .with_retries(5);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(PEER_TIMEOUT);
    settings
}

/// Waits for an answer of the server, up to a limit.
///
/// # Errors
///
/// What the operation reports; past the limit, an error for which `is_timeout()` holds.
pub(crate) async fn within<T>(
    limit: Duration,
    operation: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    match tokio::time::timeout(limit, operation).await {
        Ok(result) => result,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"))
                .into())
        }
    }
}

/// Why a server, of perhaps many, cannot be used.
#[derive(Debug)]
struct AtServer<E> {
    at: String,
    error: E,
    hint: Option<&'static str>,
}

impl<E: fmt::Display> fmt::Display for AtServer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.error)?;
        self.hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for AtServer<E> {}

/// The failure of an attempt to connect: whether repeating it may help.
pub(crate) fn failed(address: &ConnectionAddr, error: RedisError) -> AttemptError {
    let hint = hint(address, &error);
    // A server that is late may be silent, too.
    let is_passing = error.is_timeout() || error.is_connection_dropped();
    let is_final = is_refusal(&error) || (hint.is_some() && !is_passing);
    let error = AtServer { at: shown(address), error, hint };
    if is_final { AttemptError::refused(error) } else { AttemptError::transient(error) }
}

/// What to do about an error that does not say so itself.
fn hint(address: &ConnectionAddr, error: &RedisError) -> Option<&'static str> {
    let said = error.to_string();
    match address {
        ConnectionAddr::TcpTls { .. } if said.contains("InvalidContentType") => Some(
            "the server does not speak TLS on this port: write `redis://`, or name the port on which it does",
        ),
        // Redis waits for the end of what it takes for a command.
        ConnectionAddr::TcpTls { .. } if error.is_timeout() => {
            Some("if it does not speak TLS on this port, write `redis://`")
        }
        // It ends a connection that begins with anything but TLS.
        ConnectionAddr::Tcp(..) if is_cut_off(error) => {
            Some("if it speaks TLS on this port, write `rediss://`")
        }
        _ if matches!(error.code(), Some("NOAUTH")) => Some("the URL names no password"),
        _ => None,
    }
}

/// Whether the server has ended a connection that it had accepted.
fn is_cut_off(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

fn unusable(address: &ConnectionAddr, why: Unusable) -> AttemptError {
    let at = shown(address);
    match why {
        Unusable::Failed(error) => failed(address, error),
        Unusable::Moved(host, port) => {
            AttemptError::transient(format!("{at}: the cluster has our keys at {host}:{port}"))
        }
        Unusable::NotNow(error) => AttemptError::transient(AtServer { at, error, hint: None }),
        Unusable::Unfit(error) => AttemptError::refused(AtServer { at, error, hint: None }),
    }
}

/// The failure that says more: a server that is there and says why it cannot be used, before one that is not.
fn more_telling(first: Option<AttemptError>, second: AttemptError) -> AttemptError {
    match first {
        Some(first) if !first.is_transient() || second.is_transient() => first,
        _ => second,
    }
}

fn host_of(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => String::new(),
    }
}

/// Whether trying again is in vain: the server was reached and does not want us, as with a wrong password, or we do not
/// trust it.
fn is_refusal(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::RESP3NotSupported
        | ErrorKind::Server(ServerErrorKind::NoPerm) => true,
        // A server that is full has room again soon.
        ErrorKind::Server(ServerErrorKind::ResponseError) => {
            !error.to_string().contains("max number of clients")
        }
        ErrorKind::Io => error.to_string().contains("invalid peer certificate"),
        _ => matches!(error.code(), Some("WRONGPASS" | "NOAUTH")),
    }
}
