//! Whether a primary goes on confirming when its replicas are gone, and another one may have taken its place.

use redis::{RedisError, aio::MultiplexedConnection};

/// Whether it does: `min-replicas-to-write` is not set. `false` when it does not tell.
pub(crate) async fn confirms_alone(
    connection: &mut MultiplexedConnection,
) -> Result<bool, RedisError> {
    let info = redis::cmd("INFO").arg("replication").query_async::<String>(connection).await;
    match info {
        Ok(info) => Ok(read(&info)),
        Err(error) if error.is_io_error() => Err(error),
        Err(error) => {
            tracing::debug!(%error, "Redis does not tell about its replicas");
            Ok(false)
        }
    }
}

/// The number of good replicas is there only when some number of them is required.
fn read(info: &str) -> bool {
    info.contains("role:master") && !info.contains("min_slaves_good_slaves:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_that_requires_no_replica_is_told_apart() {
        assert!(read("# Replication\r\nrole:master\r\nconnected_slaves:2\r\n"));
        assert!(!read("role:master\r\nconnected_slaves:2\r\nmin_slaves_good_slaves:2\r\n"));
        assert!(!read("role:slave\r\n"));
        assert!(!read(""));
    }
}
