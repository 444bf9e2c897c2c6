//! How long to wait before the next attempt.

use std::time::Duration;

use crate::envelope::random;

/// A wait, shortened at random by up to a half, so that what failed together does not come back together.
#[must_use]
pub fn jittered(wait: Duration) -> Duration {
    let [random] = random::words();
    wait.mul_f64(1.0 - 0.5 * (random as f64 / u64::MAX as f64))
}

/// The waits of a backend for its server: they double from 50 milliseconds up to a second, each [`jittered`].
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);

    /// Short enough that a server which has returned is found within two seconds.
    const LONGEST: Duration = Duration::from_secs(1);

    /// The waits of one outage, the shortest first.
    #[expect(clippy::new_without_default, reason = "it is no default of anything")]
    pub fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// How long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(Self::LONGEST);
        jittered(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_shortens_a_wait_by_up_to_a_half() {
        let waits: Vec<_> = (0..1_000).map(|_| jittered(Duration::from_secs(2))).collect();
        let (shortest, longest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*shortest >= Duration::from_secs(1) && *longest <= Duration::from_secs(2));
        assert!(*longest - *shortest > Duration::from_millis(500), "they differ");
    }

    #[test]
    fn waits_grow_up_to_a_second_and_are_shortened_by_at_most_a_half() {
        let mut backoff = Backoff::new();
        for full in [50, 100, 200, 400, 800, 1000, 1000, 1000].map(Duration::from_millis) {
            let wait = backoff.next_wait();
            assert!(wait >= full / 2 && wait <= full, "{wait:?} is not near {full:?}");
        }
    }
}
