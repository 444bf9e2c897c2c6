//! How far a subscriber lags behind.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two reports.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Counts the events that a subscriber was too slow for, and says when that is to be reported.
#[derive(Default)]
pub(super) struct Lag {
    total: u64,
    reported: u64,
    last_report: Option<Instant>,
    /// Since when it has been too slow, and how many had been lost before.
    began: Option<(Instant, u64)>,
    /// Whether that was reported.
    is_known: bool,
}

impl Lag {
    /// Counts one event; gives how many are to be reported now, if a report is due.
    pub(super) fn count(&mut self, now: Instant) -> Option<u64> {
        self.began.get_or_insert((now, self.total));
        self.total += 1;
        if self.last_report.is_some_and(|last| now - last < REPORT_EVERY) {
            return None;
        }
        let unreported = self.total - self.reported;
        (self.reported, self.last_report, self.is_known) = (self.total, Some(now), true);
        Some(unreported)
    }

    /// Takes note that it has caught up; gives for how long it was too slow, and how many events it has lost meanwhile, if
    /// its being so was reported.
    pub(super) fn caught_up(&mut self, now: Instant) -> Option<(Duration, u64)> {
        let (began, before) = self.began.take()?;
        if !std::mem::take(&mut self.is_known) {
            return None;
        }
        self.reported = self.total;
        Some((now - began, self.total - before))
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
    fn every_event_counts_and_is_reported_at_most_once_a_minute_and_when_it_is_over() {
        let (mut lag, start) = (Lag::default(), Instant::now());
        assert_eq!(lag.count(start), Some(1));
        assert_eq!(lag.count(start + REPORT_EVERY / 3), None);
        assert_eq!(lag.count(start + REPORT_EVERY / 2), None);
        assert_eq!(lag.count(start + REPORT_EVERY), Some(3));
        assert_eq!(lag.total(), 4);
        let end = start + REPORT_EVERY * 2;
        assert_eq!(lag.caught_up(end), Some((REPORT_EVERY * 2, 4)));
        assert_eq!(lag.caught_up(end), None);
        assert_eq!(lag.count(start + REPORT_EVERY + REPORT_EVERY / 2), None, "too soon");
        assert_eq!(lag.caught_up(end), None, "nobody knows");
        assert_eq!(lag.count(end), Some(2));
    }
}
