//! What is said once a minute, each text by itself.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::sync::lock;

/// Which texts have been said within the last minute: for log lines about many things, each by itself. For one thing that
/// changes, there is [`LogThrottle`](super::LogThrottle).
#[derive(Debug, Default)]
pub struct OnceAMinute(Mutex<HashMap<String, Instant>>);

impl OnceAMinute {
    /// How many texts are known at most.
    const TEXTS: usize = 1_000;
    const MINUTE: Duration = Duration::from_secs(60);

    /// Whether a text is to be said now.
    pub fn is_due(&self, text: impl Into<String>) -> bool {
        let text = text.into();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_text_is_said_once_a_minute() {
        let said = OnceAMinute::default();
        assert!(said.is_due("a") && said.is_due("b") && !said.is_due("a"));
        tokio::time::sleep(OnceAMinute::MINUTE).await;
        assert!(said.is_due("a") && !said.is_due("a"));
        for number in 0..2 * OnceAMinute::TEXTS {
            said.is_due(number.to_string());
        }
        assert!(!said.is_due("one too many"), "what is remembered is bounded");
    }
}
