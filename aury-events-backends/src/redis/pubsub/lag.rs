//! How far a subscriber lags behind.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two reports.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Counts the events that a subscriber was too slow for, and says when that is to be reported.
#[derive(Default)]
pub(super) struct Lag {
    total: u64,
    reported: u64,
    last_report: Option<Instant>,
}

impl Lag {
    /// Counts one event; gives how many are to be reported now, if a report is due.
    pub(super) fn count(&mut self, now: Instant) -> Option<u64> {
        self.total += 1;
        if self.last_report.is_some_and(|last| now - last < REPORT_EVERY) {
            return None;
        }
        let unreported = self.total - self.reported;
        (self.reported, self.last_report) = (self.total, Some(now));
        Some(unreported)
    }

    /// All that was dropped.
    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_counts_and_is_reported_at_most_once_a_second() {
        let (mut lag, start) = (Lag::default(), Instant::now());
        assert_eq!(lag.count(start), Some(1));
        assert_eq!(lag.count(start + REPORT_EVERY / 3), None);
        assert_eq!(lag.count(start + REPORT_EVERY / 2), None);
        assert_eq!(lag.count(start + REPORT_EVERY), Some(3));
        assert_eq!(lag.total(), 4);
    }
}
