//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How long anything may take that needs no time of its own.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// The time between two looks at a condition.
pub(crate) const INTERVAL: Duration = Duration::from_millis(2);

/// Waits for a condition, which has to hold in time. Gives how long it took.
pub(crate) async fn until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> bool,
) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(INTERVAL).await;
    }
    start.elapsed()
}
