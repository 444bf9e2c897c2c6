//! What a server does when its memory is full.

use redis::{RedisError, aio::MultiplexedConnection};

/// Which keys a server that is full gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// None: it refuses writes.
    None,
    /// Those that expire.
    Expiring,
    /// Any.
    All,
}

/// The eviction policy of a server, and its name; `None` when it does not tell.
pub(crate) async fn policy(
    connection: &mut MultiplexedConnection,
) -> Result<Option<(Eviction, String)>, RedisError> {
    let info = redis::cmd("INFO").arg("memory").query_async::<String>(connection).await;
    match info {
        Ok(info) => Ok(read(&info)),
        Err(error) if error.is_io_error() => Err(error),
        Err(error) => {
            tracing::debug!(%error, "Redis does not tell its eviction policy");
            Ok(None)
        }
    }
}

fn read(info: &str) -> Option<(Eviction, String)> {
    let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"))?.trim();
    let eviction = match policy {
        "noeviction" => Eviction::None,
        _ if policy.starts_with("volatile-") => Eviction::Expiring,
        _ => Eviction::All,
    };
    Some((eviction, policy.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_told_apart() {
        let eviction = |policy: &str| read(&format!("a:1\r\nmaxmemory_policy:{policy}\r\n"));
        assert_eq!(eviction("noeviction").unwrap().0, Eviction::None);
        assert_eq!(eviction("volatile-ttl").unwrap().0, Eviction::Expiring);
        assert_eq!(eviction("allkeys-lru").unwrap(), (Eviction::All, "allkeys-lru".to_owned()));
        assert_eq!(read("a:1\r\n"), None);
    }
}
