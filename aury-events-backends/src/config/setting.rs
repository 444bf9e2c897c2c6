//! What a setting is: its name, its meaning, its default, and what it may be.

use std::fmt;

/// A setting of a bus, such as `RETENTION`, which the variable `EVENT_RETENTION` sets for the default bus and
/// `EVENT_ORDERS_RETENTION` for the bus `orders`.
///
/// A backend declares its own settings beside its code, lists them where it
/// [registers](crate::register_backend), and reads them when it connects. Nothing else has to know them: the
/// environment, the check at start-up and the suggestion for a misspelt name all follow from the declaration.
///
/// ```
/// use std::time::Duration;
///
/// use aury_events_backends::config::{BackendConfig, Setting, read};
///
/// /// How long the server keeps events.
/// static RETENTION: Setting<Duration> =
///     Setting::new("RETENTION", "How long the server keeps events", "24h", read::duration);
///
/// let mut config = BackendConfig::default();
/// assert_eq!(config.get(&RETENTION), Duration::from_secs(24 * 60 * 60));
/// config.set(&RETENTION, "2h")?;
/// assert_eq!(config.get(&RETENTION), Duration::from_secs(2 * 60 * 60));
/// assert_eq!(
///     config.set(&RETENTION, "2").unwrap_err(),
///     "expected a unit after the number, such as `2s` for seconds"
/// );
/// # Ok::<(), String>(())
/// ```
pub struct Setting<T: 'static> {
    name: &'static str,
    meaning: &'static str,
    default: &'static str,
    shown_default: Option<&'static str>,
    is_secret: bool,
    read: Read<T>,
}

/// Reads a value. An `Err` says what was expected, in the words of a message: see [`read`](super::read).
pub type Read<T> = fn(&str) -> Result<T, String>;

impl<T> Setting<T> {
    /// Declares a setting. Its default is written as a variable would have it, and read in the same way.
    ///
    /// # Panics
    ///
    /// While compiling, in a `static`: if the name is not upper-case letters, digits and single underscores.
    pub const fn new(
        name: &'static str,
        meaning: &'static str,
        default: &'static str,
        read: Read<T>,
    ) -> Self {
        assert!(is_name(name), "a setting is named in upper-case letters, digits and single `_`");
        Self { name, meaning, default, shown_default: None, is_secret: false, read }
    }

    /// Describes the default in documentation, where its text would not.
    #[must_use]
    pub const fn default_is(mut self, words: &'static str) -> Self {
        self.shown_default = Some(words);
        self
    }

    /// Keeps its values out of every message.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    pub(super) fn read(&self, text: &str) -> Result<T, String> {
        (self.read)(text)
    }
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let is_sign = bytes[at] == b'_' && at > 0 && at + 1 < bytes.len() && bytes[at - 1] != b'_';
        if !(is_sign || bytes[at].is_ascii_uppercase() || bytes[at].is_ascii_digit()) {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

impl<T> fmt::Debug for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Setting").field(&self.name).finish()
    }
}

/// A [`Setting`] of any type.
pub trait AnySetting: fmt::Debug + Sync {
    /// Its name: what follows `EVENT_` and the bus.
    fn name(&self) -> &'static str;

    /// What it means, for documentation: a sentence without its period.
    fn meaning(&self) -> &'static str;

    /// Its default, as a variable would have it.
    fn default_text(&self) -> &'static str;

    /// Its default, for documentation, in Markdown.
    fn shown_default(&self) -> String;

    /// Whether its values may not be shown.
    fn is_secret(&self) -> bool;

    /// Whether a text is a value of it. An `Err` says what was expected.
    fn check(&self, text: &str) -> Result<(), String>;
}

impl<T> AnySetting for Setting<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn meaning(&self) -> &'static str {
        self.meaning.trim_start()
    }

    fn default_text(&self) -> &'static str {
        self.default
    }

    fn shown_default(&self) -> String {
        match self.shown_default {
            Some(words) => words.to_owned(),
            None if self.default.is_empty() => "none".to_owned(),
            None => format!("`{}`", self.default),
        }
    }

    fn is_secret(&self) -> bool {
        self.is_secret
    }

    fn check(&self, text: &str) -> Result<(), String> {
        self.read(text).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_variable_ends_in() {
        for name in ["URL", "KEY_PREFIX", "HTTP2_PORT"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "url", "_URL", "URL_", "KEY__PREFIX", "KEY-PREFIX"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
