//! What goes on is not logged every time.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use super::lock;

/// Tells when a state is to be logged: once per change, and at most once a minute while it lasts.
///
/// `S` is the state, as coarse as a reader of the log would call it one: a kind of trouble, not the text of an error,
/// which may differ from attempt to attempt.
#[derive(Debug)]
pub struct LogThrottle<S> {
    last: Mutex<Option<(S, Instant)>>,
}

impl<S: PartialEq> LogThrottle<S> {
    /// The shortest time between two lines about a state that lasts.
    pub const EVERY: Duration = Duration::from_secs(60);

    /// Nothing has been logged yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: Mutex::new(None) }
    }

    /// Takes note of the state that holds now; gives whether it is to be logged.
    pub fn is_due(&self, state: S) -> bool {
        self.is_due_at(state, Instant::now())
    }

    /// [`is_due`](Self::is_due) by another clock.
    pub fn is_due_at(&self, state: S, now: Instant) -> bool {
        let mut last = lock(&self.last);
        let is_due = match &*last {
            Some((said, at)) => *said != state || now.saturating_duration_since(*at) >= Self::EVERY,
            None => true,
        };
        if is_due {
            *last = Some((state, now));
        }
        is_due
    }

    /// Takes note that the state is over: the next one is a change, whatever it is. Gives whether there was one.
    pub fn clear(&self) -> bool {
        lock(&self.last).take().is_some()
    }
}

impl<S: PartialEq> Default for LogThrottle<S> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_logged_once_per_change_and_then_once_a_minute() {
        let (throttle, start) = (LogThrottle::new(), Instant::now());
        let due = |state, seconds| throttle.is_due_at(state, start + Duration::from_secs(seconds));
        assert!(due("away", 0));
        assert!(!due("away", 1) && !due("away", 59));
        assert!(due("refused", 59), "a change");
        assert!(!due("refused", 118), "59 seconds later");
        assert!(due("refused", 119));
        assert!(due("away", 120), "a change back");
        assert!(throttle.clear() && !throttle.clear());
        assert!(due("away", 121), "it was over");
    }
}
