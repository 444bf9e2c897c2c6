//! How often an event is tried.

use std::time::Duration;

use aury_events_backends::kit::jittered;

/// How often an event is tried, and how long the waits between the attempts are: what `retry(..)` says in `#[subscribe]`,
/// for a subscription that is made at run time.
///
/// ```
/// use std::time::Duration;
///
/// use aury_events::Retry;
///
/// let every_two_seconds = Retry::attempts(3);
/// let ever_longer = Retry::attempts(8).delay(Duration::from_millis(100)).exponential();
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    pub(crate) attempts: u32,
    delay: Duration,
    factor: f64,
    max_delay: Duration,
    jitter: bool,
}

impl Retry {
    /// Attempts in all, the first one included, with waits of two seconds between them. One attempt is no retry.
    pub const fn attempts(attempts: u32) -> Self {
        Self {
            attempts,
            delay: Duration::from_secs(2),
            factor: 1.0,
            max_delay: Duration::MAX,
            jitter: false,
        }
    }

    /// Sets the wait after the first attempt, and after each further one unless waits grow.
    #[must_use]
    pub const fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Has each further wait be twice as long, up to a minute, and shortened at random.
    #[must_use]
    pub const fn exponential(self) -> Self {
        self.factor(2.0).max_delay(Duration::from_secs(60)).jitter(true)
    }

    /// Sets what each further wait is longer by. Less than 1, and what is no number, counts as 1.
    #[must_use]
    pub const fn factor(self, factor: f64) -> Self {
        Self { factor: if factor >= 1.0 { factor } else { 1.0 }, ..self }
    }

    /// Sets the longest wait.
    #[must_use]
    pub const fn max_delay(self, max_delay: Duration) -> Self {
        Self { max_delay, ..self }
    }

    /// Sets whether each wait is shortened at random, by up to a half, so that what failed together does not come back
    /// together.
    #[must_use]
    pub const fn jitter(self, jitter: bool) -> Self {
        Self { jitter, ..self }
    }

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

    fn waits(policy: Retry) -> Vec<u64> {
        (1..8).map(|attempt| policy.wait_after(attempt).as_secs()).collect()
    }

    #[test]
    fn waits_are_of_one_length_or_grow_up_to_the_longest() {
        let growing = Retry::attempts(8).exponential().jitter(false);
        assert_eq!(waits(Retry::attempts(8)), [2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(waits(growing), [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(growing.factor(1e300).wait_after(u32::MAX), Duration::from_secs(60));
        for no_growth in [0.5, -1.0, f64::NAN] {
            assert_eq!(waits(growing.factor(no_growth)), [2, 2, 2, 2, 2, 2, 2]);
        }
    }

    #[test]
    fn jitter_shortens_a_wait_by_up_to_a_half() {
        let waits = waits(Retry::attempts(8).jitter(true));
        assert!(waits.iter().all(|wait| *wait < 2) && *waits.iter().min().unwrap() >= 1);
    }
}
