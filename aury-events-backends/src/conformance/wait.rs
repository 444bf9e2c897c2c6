//! Waiting for a condition, never for a time.

use std::time::Duration;

use tokio::time::Instant;

/// How long anything that needs no time of its own may take before a check fails: generous, since it is only waited
/// for by checks that fail.
pub(super) const DEADLINE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(2);

/// Waits until a condition holds.
///
/// # Panics
///
/// When it does not within `limit`; the message says `what` was waited for.
pub async fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The outcome of an operation that has to end within [`DEADLINE`].
pub(super) async fn in_time<T>(what: &str, operation: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, operation).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}
