//! Connections to a Redis server: where it is, how its sockets are set, and how long an attempt may take.

use std::{io, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisError, ServerErrorKind,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use crate::{config::BackendConfig, error::BackendError};

/// The longest that one attempt to connect may take, TLS and log-in included. A new attempt finds a server that has
/// just come back sooner than one that waits for lost packets to be sent again.
const ATTEMPT: Duration = Duration::from_secs(3);

/// How long a silent peer is probed, and how long sent data may stay unacknowledged, until the system gives the socket
/// up.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens connections to the Redis server of one bus.
///
/// All of them speak RESP3 (Redis 6 or later), in which messages are pushed beside replies. No command has a time
/// limit of its own: whoever sends one sets it, with [`within`].
#[derive(Debug, Clone)]
pub(crate) struct RedisClient {
    client: Client,
    /// The URL, its password masked.
    address: String,
    attempt: Duration,
}

impl RedisClient {
    /// A client for the server at `config.url`: `redis://`, `rediss://` (TLS, with the certificates that the system
    /// trusts), `unix://` or `redis+unix://`. It does not connect yet.
    ///
    /// # Errors
    ///
    /// When there is no URL, or none that names a Redis server.
    pub(crate) fn new(config: &BackendConfig) -> Result<Self, BackendError> {
        let url = config.url.as_ref().ok_or_else(|| {
            BackendError::other("connect to Redis", "no URL is set, as in `redis://localhost:6379`")
        })?;
        let refused = |error: RedisError| {
            BackendError::other(format!("use {url} as the URL of Redis"), error)
        };
        let info = url.expose().into_connection_info().map_err(refused)?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings).set_tcp_settings(tcp_settings());
        if matches!(url.scheme(), "rediss" | "valkeys") {
            // An application that has chosen another provider keeps it.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Ok(Self {
            client: Client::open(info).map_err(refused)?,
            address: url.to_string(),
            attempt: config.connect_timeout.min(ATTEMPT),
        })
    }

    /// The URL, its password masked.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Opens one connection: one attempt, logged in and with the database chosen.
    ///
    /// `on_push` is called with all that the server pushes, from the task that reads the socket: it must not block.
    /// The last thing it is told is [`PushKind::Disconnection`](redis::PushKind::Disconnection).
    pub(crate) async fn open(
        &self,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.attempt))
            .set_response_timeout(None)
            .set_push_sender(move |push| {
                on_push(push);
                Ok::<(), ()>(())
            });
        within(self.attempt, self.client.get_multiplexed_async_connection_with_config(&config))
            .await
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

/// Whether trying again is in vain: the server was reached and does not want us, as with a wrong password, or we do not
/// trust it.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
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
