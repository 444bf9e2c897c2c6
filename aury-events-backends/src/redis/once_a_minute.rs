//! What is said once a minute, each text by itself.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::kit::lock;

/// Which texts have been said within the last minute.
#[derive(Debug, Default)]
pub(crate) struct OnceAMinute(Mutex<HashMap<String, Instant>>);

impl OnceAMinute {
    /// How many texts are known at most.
    const TEXTS: usize = 1_000;
    const MINUTE: Duration = Duration::from_secs(60);

    /// Whether a text is to be said now.
    pub(crate) fn is_due(&self, text: String) -> bool {
        let mut said = lock(&self.0);
        if said.len() >= Self::TEXTS {
            said.retain(|_, time| time.elapsed() < Self::MINUTE);
        }
        if said.get(&text).is_some_and(|time| time.elapsed() < Self::MINUTE) {
            return false;
        }
        said.len() < Self::TEXTS && said.insert(text, Instant::now()).is_none_or(|_| true)
    }
}
