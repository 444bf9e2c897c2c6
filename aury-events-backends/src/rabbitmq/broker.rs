//! Connections to a RabbitMQ broker: where it is, how its sockets are set, and how long an attempt may take.

use std::{
    fmt, io,
    net::{Shutdown, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_rs::TokioRuntime;
use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties, ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
    tcp::OwnedTLSConfig,
    types::LongString,
    uri::{AMQPScheme, AMQPUri},
};
use socket2::{SockRef, Socket, TcpKeepalive};
use tokio::{
    net::lookup_host,
    time::{error::Elapsed, timeout},
};

use super::{
    readable::{Readable, ReadableRuntime, readable_runtime},
    tls::certificates,
};
use crate::{
    config::{BackendConfig, BusUrl},
    error::BackendError,
    kit::{background, lock},
};

/// The longest that one attempt to connect may take, TLS and log-in included.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How often peers show each other that they live, in seconds (AMQP 0-9-1 §4.2.7), unless the URL says otherwise. What
/// is silent for twice as long is given up.
const HEARTBEAT: u16 = 10;

/// The longest frame, in bytes, unless the URL says otherwise or the broker wants shorter ones: RabbitMQ's default. The
/// client library reserves 32 of them twice, so a broker that sets no limit must not decide it.
pub(super) const FRAME_MAX: u32 = 128 * 1024;

/// How long a silent peer is probed, and how long sent data may stay unacknowledged, until the system gives the socket
/// up.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is given to close in order.
const GOODBYE: Duration = Duration::from_secs(1);

/// Opens connections to the broker of one bus, for one purpose at a time.
pub(super) struct Broker {
    /// One for each host, which are tried in turn.
    uris: Vec<AMQPUri>,
    tls: OwnedTLSConfig,
    /// Which of them comes next.
    next: AtomicUsize,
    /// The URL, its password masked.
    address: Arc<str>,
    /// What connections are called in the broker's lists, before their purpose.
    name: String,
    attempt: Duration,
}

impl Broker {
    /// The broker at `config.url`: `amqp://` or `amqps://` (TLS, with the certificates that the system trusts). It does
    /// not connect yet.
    ///
    /// # Errors
    ///
    /// When there is no URL, or none that names a broker.
    pub(super) fn new(config: &BackendConfig, name: String) -> Result<Self, BackendError> {
        let url = config.url.as_ref().ok_or_else(|| {
            BackendError::other("connect to RabbitMQ", "no URL is set, as in `amqp://localhost`")
        })?;
        let uris = url.for_each_host().iter().map(uri).collect::<Option<Vec<_>>>();
        // What the parser reports may quote the URL, and so its password.
        let uris = uris.ok_or_else(|| {
            BackendError::other(
                format!("use {url} as the URL of RabbitMQ"),
                "expected `amqp://user:password@host:5672/vhost`, with reserved characters percent-encoded",
            )
        })?;
        let is_encrypted = uris[0].scheme == AMQPScheme::AMQPS;
        let tls = certificates(config, is_encrypted)?;
        if is_encrypted {
            // An application that has chosen another provider keeps it.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        // One host that does not answer leaves time for the others.
        let attempt = (config.connect_timeout / uris.len() as u32).min(ATTEMPT);
        Ok(Self {
            uris,
            tls,
            next: AtomicUsize::new(0),
            address: url.to_string().into(),
            name,
            attempt,
        })
    }

    /// The URL, its password masked.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Opens one connection, logged in: one attempt at each host, beginning behind the one that was reached last.
    pub(super) async fn open(&self, purpose: &str) -> lapin::Result<Connected> {
        let first = self.next.load(Relaxed);
        let mut failed: Option<lapin::Error> = None;
        for index in (first..first + self.uris.len()).map(|index| index % self.uris.len()) {
            match self.open_at(&self.uris[index], purpose).await {
                Ok(connected) => {
                    self.next.store(index + 1, Relaxed);
                    return Ok(connected);
                }
                Err(error) => {
                    let authority = &self.uris[index].authority;
                    let (host, port) = (&*authority.host, authority.port);
                    tracing::debug!(host, port, purpose, %error, "cannot connect to RabbitMQ");
                    // That we are refused says more than that a host is down.
                    if failed.as_ref().is_none_or(|failed| !is_refusal(failed)) {
                        failed = Some(error);
                    }
                }
            }
        }
        // There is at least one host.
        Err(failed.unwrap_or_else(|| io::Error::from(io::ErrorKind::NotFound).into()))
    }

    async fn open_at(&self, uri: &AMQPUri, purpose: &str) -> lapin::Result<Connected> {
        let socket = SocketSlot::default();
        let (slot, limit) = (socket.clone(), self.attempt);
        let tls = self.tls.clone();
        // Of its own: heartbeats go on while a handler blocks the application's runtime.
        let handle = background()?;
        let sockets = TokioRuntime::tokio_with_handle(handle.clone());
        let connect = move |uri: AMQPUri, _: ReadableRuntime| {
            let (slot, sockets, tls) = (slot.clone(), sockets.clone(), tls.clone());
            async move {
                let (host, port) = (uri.authority.host.as_str(), uri.authority.port);
                let opening = async {
                    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
                    let stream = AsyncTcpStream::connect(&sockets, addresses).await?;
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        let socket = SockRef::from(plain.get_ref());
                        set_up(&socket)?;
                        *slot.lock() = Some(socket.try_clone()?);
                    }
                    match uri.scheme {
                        AMQPScheme::AMQP => Ok(stream),
                        AMQPScheme::AMQPS => stream.into_tls(host, tls.as_ref()).await,
                    }
                };
                let opened: io::Result<_> =
                    timeout(limit, opening).await.map_err(|elapsed| no_answer(elapsed, limit))?;
                Ok(AsyncTcpStream::Plain(Readable::new(opened?)))
            }
        };
        let name = LongString::from(format!("{} ({purpose})", self.name));
        let properties = ConnectionProperties::default().with_connection_name(name);
        let runtime = readable_runtime(handle);
        let connecting = Connection::connector(uri.clone(), runtime, connect, properties);
        match timeout(limit, connecting).await {
            Ok(outcome) => Ok(Connected { connection: outcome?, socket }),
            Err(elapsed) => {
                // The client library would wait for the broker's part of the handshake for ever.
                socket.shut_down();
                Err(no_answer(elapsed, limit).into())
            }
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Broker").field(&self.address).finish()
    }
}

/// An open connection. When it is dropped, the client library closes it in order, in its own time.
pub(super) struct Connected {
    pub(super) connection: Connection,
    socket: SocketSlot,
}

impl Connected {
    /// Closes it: in order if the broker answers soon, else at once.
    pub(super) async fn close(&self) {
        let _ = timeout(GOODBYE, self.connection.close(200, "shutting down".into())).await;
        self.cut();
    }

    /// Ends it at once.
    pub(super) fn cut(&self) {
        self.socket.shut_down();
    }
}

/// The socket of a connection beside the client library, to end it with.
#[derive(Clone, Default)]
struct SocketSlot(Arc<Mutex<Option<Socket>>>);

impl SocketSlot {
    fn lock(&self) -> MutexGuard<'_, Option<Socket>> {
        lock(&self.0)
    }

    fn shut_down(&self) {
        if let Some(socket) = self.lock().take() {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn set_up(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(PEER_TIMEOUT / 2)
        .with_interval(PEER_TIMEOUT / 10)
        .with_retries(5);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
    socket.set_tcp_nodelay(true)
}

fn no_answer(_: Elapsed, limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"))
}

/// What the client library takes as the URL of one host.
fn uri(url: &BusUrl) -> Option<AMQPUri> {
    let mut uri: AMQPUri = url.expose().parse().ok()?;
    uri.authority.host = host(url).to_owned();
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    Some(uri)
}

/// The host of a broker's URL. The client library's own parser takes every IPv6 address for `localhost`.
fn host(url: &BusUrl) -> &str {
    let (_, rest) = url.expose().split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, _)) => v6,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    }
}

/// Whether trying again is in vain: the broker was reached and does not want us, as with a wrong password or a virtual
/// host that does not exist, or we do not trust it.
pub(super) fn is_refusal(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => true,
            // While the broker starts, its virtual hosts are down.
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
                !error.get_message().as_str().contains("is down")
            }
            _ => false,
        },
        ErrorKind::IOError(error) => error.to_string().contains("invalid peer certificate"),
        ErrorKind::InvalidProtocolVersion(_) | ErrorKind::AuthProviderError(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(url: &str) -> Result<Broker, BackendError> {
        let config = BackendConfig { url: url.parse().ok(), ..BackendConfig::default() };
        Broker::new(&config, "shop".to_owned())
    }

    #[test]
    fn urls_are_read_with_their_hosts_virtual_hosts_and_encoded_credentials() {
        for (url, host, port, vhost) in [
            ("amqp://localhost", "localhost", 5672, "/"),
            ("amqp://localhost/", "localhost", 5672, "/"),
            ("amqp://10.0.0.1:5673/%2f", "10.0.0.1", 5673, "/"),
            ("amqps://u:p@broker/orders", "broker", 5671, "orders"),
            ("amqp://u:p@[::1]:5673/v%2Fh", "::1", 5673, "v/h"),
        ] {
            let uri = broker(url).unwrap().uris[0].clone();
            let AMQPUri { authority, vhost: read, .. } = &uri;
            assert_eq!((&*authority.host, authority.port, &**read), (host, port, vhost), "{url}");
        }
        let uri = broker("amqp://us%40er:p%2Fw@host?heartbeat=3").unwrap().uris[0].clone();
        assert_eq!(uri.authority.userinfo.username, "us@er");
        assert_eq!(uri.authority.userinfo.password, "p/w");
        assert_eq!(uri.query.heartbeat, Some(3));
    }

    #[test]
    fn no_message_holds_the_password() {
        for url in ["redis://u:hunter2@host", "amqp://u:hunter2@host?heartbeat=often"] {
            let error = broker(url).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hunter2") && text.contains("u:***@host"), "{text}");
        }
        let broker = broker("amqp://u:hunter2@host").unwrap();
        assert!(!format!("{broker:?}").contains("hunter2"));
    }
}
