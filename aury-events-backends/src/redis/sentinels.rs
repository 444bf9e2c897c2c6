//! Sentinels, which know the primary.

use std::{fmt, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, RedisError, aio::MultiplexedConnection,
};
use tokio::sync::Mutex;

use super::{
    address::{at, shown},
    connection::within,
};

/// How long a Sentinel may take to answer, the connection to it included.
const ANSWER: Duration = Duration::from_secs(1);

/// The Sentinels of one primary. Each is asked on a connection that stays open.
#[derive(Debug)]
pub(crate) struct Sentinels {
    sentinels: Vec<Sentinel>,
    primary: String,
    login: ConnectionInfo,
}

#[derive(Debug)]
struct Sentinel {
    info: ConnectionInfo,
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// Where the primary is.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) primary: ConnectionInfo,
    /// Whether most of the Sentinels agree. A single one may be cut off from the others and know less.
    pub(crate) is_agreed: bool,
}

/// Why the Sentinels name no primary.
#[derive(Debug)]
pub(crate) enum NotNamed {
    /// None of them answered; why the last one did not.
    Silent(RedisError),
    /// None of those who answered knows a primary of that name.
    Unknown(String),
}

impl fmt::Display for NotNamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(error) => write!(f, "no Sentinel answers: {error}"),
            Self::Unknown(name) => write!(f, "the Sentinels know no primary named `{name}`"),
        }
    }
}

impl std::error::Error for NotNamed {}

impl Sentinels {
    pub(crate) fn new(
        sentinels: Vec<ConnectionInfo>,
        primary: String,
        login: ConnectionInfo,
    ) -> Self {
        let sentinel = |info| Sentinel { info, connection: Mutex::default() };
        Self { sentinels: sentinels.into_iter().map(sentinel).collect(), primary, login }
    }

    /// Asks all of them at once, until most have said the same or each has answered. Then what most have said counts.
    pub(crate) async fn primary(&self) -> Result<Named, NotNamed> {
        let mut asking: FuturesUnordered<_> =
            self.sentinels.iter().map(|sentinel| sentinel.ask(&self.primary)).collect();
        let mut votes: Vec<((String, u16), usize)> = Vec::new();
        let (mut silence, mut is_unknown) = (None, false);
        while let Some(answer) = asking.next().await {
            let named = match answer {
                Ok(Some(named)) => named,
                Ok(None) => {
                    is_unknown = true;
                    continue;
                }
                Err(error) => {
                    silence = Some(error);
                    continue;
                }
            };
            let at = votes.iter().position(|(known, _)| *known == named).unwrap_or(votes.len());
            if at == votes.len() {
                votes.push((named, 0));
            }
            votes[at].1 += 1;
            if votes[at].1 * 2 > self.sentinels.len() {
                break;
            }
        }
        let Some(((host, port), count)) = votes.into_iter().max_by_key(|(_, count)| *count) else {
            return Err(match silence {
                Some(error) if !is_unknown => NotNamed::Silent(error),
                _ => NotNamed::Unknown(self.primary.clone()),
            });
        };
        let is_agreed = count * 2 > self.sentinels.len();
        Ok(Named { primary: at(&self.login, &host, port), is_agreed })
    }
}

impl Sentinel {
    /// The host and port of the primary, if it knows that name.
    async fn ask(&self, primary: &str) -> Result<Option<(String, u16)>, RedisError> {
        let asking = async {
            let mut kept = self.connection.lock().await;
            // One that fails is not put back.
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let mut ask = redis::cmd("SENTINEL");
            ask.arg("GET-MASTER-ADDR-BY-NAME").arg(primary);
            let named = ask.query_async(&mut connection).await?;
            *kept = Some(connection);
            Ok(named)
        };
        let answer = within(ANSWER, asking).await;
        if let Err(error) = &answer {
            tracing::debug!(sentinel = shown(self.info.addr()), %error, "a Sentinel does not answer");
        }
        answer
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER))
            .set_response_timeout(None);
        let client = Client::open(self.info.clone())?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}
