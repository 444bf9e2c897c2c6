//! How long to wait before the next attempt.

use std::time::Duration;

use uuid::Uuid;

const FIRST: Duration = Duration::from_millis(50);

/// Short enough that a server which has returned is found within two seconds.
const LONGEST: Duration = Duration::from_secs(1);

/// Waits that double from 50 milliseconds up to a second, each shortened at random by up to a half, so that processes
/// that lost a server together do not return to it together.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// How long to wait now.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        let (random, _) = Uuid::new_v4().as_u64_pair();
        wait.mul_f64(1.0 - 0.5 * (random as f64 / u64::MAX as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_second_and_are_shortened_by_at_most_a_half() {
        let mut backoff = Backoff::new();
        for full in [50, 100, 200, 400, 800, 1000, 1000, 1000].map(Duration::from_millis) {
            let wait = backoff.next_wait();
            assert!(wait >= full / 2 && wait <= full, "{wait:?} is not near {full:?}");
        }
    }
}
