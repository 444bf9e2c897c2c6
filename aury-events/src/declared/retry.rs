//! How often an event is tried.

use std::time::Duration;

use aury_events_backends::kit::jittered;

/// How often an event is tried, and how long the waits between the attempts are.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// The wait after the first attempt.
    pub delay: Duration,
    /// What each further wait is longer by: 1 for waits of one length.
    pub factor: f64,
    /// The longest wait.
    pub max_delay: Duration,
    /// Whether each wait is shortened at random, by up to a half, so that what failed together does not come back
    /// together.
    pub jitter: bool,
}

impl Retry {
    /// How long to wait after an attempt, counted from 1.
    pub(crate) fn wait_after(&self, attempt: u32) -> Duration {
        let growth = self.factor.powi(i32::try_from(attempt - 1).unwrap_or(i32::MAX));
        // Beyond what a duration holds, it is the longest wait all the same.
        let wait = Duration::try_from_secs_f64(self.delay.as_secs_f64() * growth);
        let wait = wait.unwrap_or(Duration::MAX).min(self.max_delay);
        if self.jitter { jittered(wait) } else { wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(factor: f64, jitter: bool) -> Retry {
        let (delay, max_delay) = (Duration::from_secs(2), Duration::from_secs(60));
        Retry { attempts: 8, delay, factor, max_delay, jitter }
    }

    fn waits(policy: Retry) -> Vec<u64> {
        (1..8).map(|attempt| policy.wait_after(attempt).as_secs()).collect()
    }

    #[test]
    fn waits_are_of_one_length_or_grow_up_to_the_longest() {
        assert_eq!(waits(policy(1.0, false)), [2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(waits(policy(2.0, false)), [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(policy(1e300, false).wait_after(u32::MAX), Duration::from_secs(60));
    }

    #[test]
    fn jitter_shortens_a_wait_by_up_to_a_half() {
        let waits = waits(policy(1.0, true));
        assert!(waits.iter().all(|wait| *wait < 2) && *waits.iter().min().unwrap() >= 1);
    }
}
