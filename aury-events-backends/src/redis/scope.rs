//! What the names of a bus begin with on its server.

use super::settings::KEY_PREFIX;
use crate::config::{BackendConfig, Format};

/// The bus that has no name of its own.
const DEFAULT_BUS: &str = "default";

/// What keys and channels begin with.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// What keys begin with.
    pub(crate) keys: String,
    /// What channels begin with. A key belongs to a database, and a channel to the whole server: so it names the
    /// database, unless that is 0.
    pub(crate) channels: String,
}

impl Scope {
    /// The scope of a bus: what was given, else `events:` for the default bus and `events:{bus}:` for another one.
    ///
    /// What was given is taken to the letter, for channels, too; and so is the scope of a bus that speaks aury-boot's
    /// format: other programs have the same.
    pub(crate) fn of(bus: &str, config: &BackendConfig, database: i64) -> Self {
        let given = config.given(&KEY_PREFIX);
        let is_shared = given.is_some() || config.format == Format::Aury;
        let keys = given.unwrap_or_else(|| {
            let default = config.get(&KEY_PREFIX);
            match bus {
                DEFAULT_BUS => default,
                _ if config.format == Format::Aury => default,
                _ => format!("{default}{bus}:"),
            }
        });
        let channels = match database {
            // No bus and no event has a `/` in its name.
            1.. if !is_shared => format!("{keys}/{database}:"),
            _ => keys.clone(),
        };
        Self { keys, channels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(bus: &str, prefix: Option<&str>, format: Format, database: i64) -> (String, String) {
        let mut config = BackendConfig { format, ..BackendConfig::default() };
        if let Some(prefix) = prefix {
            config.set(&KEY_PREFIX, prefix).unwrap();
        }
        let Scope { keys, channels } = Scope::of(bus, &config, database);
        (keys, channels)
    }

    #[test]
    fn buses_and_databases_are_apart_unless_they_are_told_to_share() {
        let same = |text: &str| (text.to_owned(), text.to_owned());
        let new = Format::CloudEvents;
        assert_eq!(scope("default", None, new, 0), same("events:"));
        assert_eq!(scope("domain", None, new, 0), same("events:domain:"));
        let (keys, channels) = scope("domain", None, new, 3);
        assert_eq!((&*keys, &*channels), ("events:domain:", "events:domain:/3:"));
        assert_eq!(scope("domain", Some("shop:"), new, 3), same("shop:"));
        assert_eq!(scope("domain", Some("events:"), new, 3), same("events:"));
        assert_eq!(scope("domain", None, Format::Aury, 3), same("events:"));
    }
}
