//! What a server says of itself, and whether it can be written to.

use std::fmt;

use redis::{ErrorKind, RedisError, Value, aio::MultiplexedConnection, from_redis_value};

/// What a server says of itself (`HELLO`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    /// `redis`, `valkey`, …
    pub(crate) product: String,
    pub(crate) version: Version,
    pub(crate) is_cluster: bool,
    pub(crate) is_primary: bool,
    pub(crate) is_sentinel: bool,
}

/// A version, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u16, pub(crate) u16);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map_while(|it| it.parse().ok());
        Some(Self(numbers.next()?, numbers.next().unwrap_or(0)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Why a server cannot be used now. It may be another time: the server is waited for.
#[derive(Debug, Clone)]
pub(crate) enum Unwritable {
    /// It copies another server.
    Replica,
    /// It refuses to write, for this reason.
    Refuses(RedisError),
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica => f.write_str("the server is a replica: it cannot be written to"),
            Self::Refuses(error) => write!(f, "the server refuses to write: {error}"),
        }
    }
}

impl std::error::Error for Unwritable {}

/// Asks a server what it is, and whether it can be written to. That is the sign of life of a connection, too.
///
/// `HELLO` is open to every user, unlike `ROLE`. It says nothing of a server that loads its data, cannot save them, lacks
/// replicas, or whose cluster is down; what does is a command that would write, on a stream that does not exist. It needs
/// no memory.
pub(crate) async fn greet(
    connection: &mut MultiplexedConnection,
    key: &str,
) -> Result<(ServerInfo, Option<Unwritable>), RedisError> {
    let mut greeting = redis::pipe();
    greeting.ignore_errors();
    greeting.cmd("HELLO").arg(3);
    greeting.cmd("XDEL").arg(key).arg("0-1");
    let (hello, write): (Value, Value) = greeting.query_async(connection).await?;
    let info = read(hello.extract_error()?)?;
    let refusal = write.extract_error().err().filter(is_unwritable);
    // In a cluster, a replica knows its primary.
    let is_moved = refusal.as_ref().is_some_and(|error| error.code() == Some("MOVED"));
    let unwritable = if !info.is_primary && !is_moved {
        Some(Unwritable::Replica)
    } else {
        refusal.map(Unwritable::Refuses)
    };
    Ok((info, unwritable))
}

fn read(hello: Value) -> Result<ServerInfo, RedisError> {
    let incomplete = || RedisError::from((ErrorKind::UnexpectedReturnType, "incomplete `HELLO`"));
    let Value::Map(fields) = hello else { return Err(incomplete()) };
    let field = |name: &str| {
        let is_named =
            |key: &Value| from_redis_value(key.clone()).is_ok_and(|it: String| it == name);
        let (_, value) = fields.iter().find(|(key, _)| is_named(key))?;
        from_redis_value::<String>(value.clone()).ok()
    };
    let (mode, role) = (field("mode").unwrap_or_default(), field("role").unwrap_or_default());
    Ok(ServerInfo {
        product: field("server").ok_or_else(incomplete)?,
        version: field("version").as_deref().and_then(Version::parse).ok_or_else(incomplete)?,
        is_cluster: mode == "cluster",
        is_sentinel: mode == "sentinel",
        is_primary: role == "master",
    })
}

/// What a server says that is not the one to write to (any more), or refuses to be written to for the time being: it is
/// a replica, loads its data, runs a long script, lacks replicas, or cannot save what is written. A read that waits is
/// broken off (`UNBLOCKED`) when its server becomes a replica.
const UNWRITABLE: [&str; 9] = [
    "READONLY",
    "MASTERDOWN",
    "LOADING",
    "CLUSTERDOWN",
    "MOVED",
    "UNBLOCKED",
    "BUSY",
    "NOREPLICAS",
    "MISCONF",
];

/// Whether an error means that nothing can be written to this server now.
pub(crate) fn is_unwritable(error: &RedisError) -> bool {
    UNWRITABLE.iter().any(|code| says(error, code))
}

/// Whether an error has this code. Before Redis 7, the error of a command in a script is part of a message.
pub(crate) fn says(error: &RedisError, code: &str) -> bool {
    match error.code() {
        Some("ERR") => error.detail().is_some_and(|said| said.contains(&format!("-{code} "))),
        known => known == Some(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order() {
        let version = |text| Version::parse(text).unwrap();
        assert_eq!(version("7.0.15"), Version(7, 0));
        assert_eq!(version("255.255.255"), Version(255, 255));
        assert_eq!(version("9"), Version(9, 0));
        assert!(version("6.0.16") < Version(6, 2) && version("10.0") > Version(6, 2));
        assert_eq!(Version::parse("unstable"), None);
    }
}
