//! What keeps a subscriber from reading: in its health at once, in the log when it lasts.

use tokio::time::sleep;

use super::super::{inbox::Inbox, server::Failure, shared::Shared};
use crate::kit::{Backoff, LogThrottle};

/// From how many failures in a row on it is worth a line that the server is out of reach for a subscriber and there for
/// all others.
const MANY: u32 = 10;

/// Says that a subscriber cannot read, and when it can again.
#[derive(Debug)]
pub(super) struct Interruptions {
    /// How often reading has failed in a row.
    failures: u32,
    backoff: Backoff,
    log: LogThrottle<String>,
}

impl Interruptions {
    pub(super) fn none() -> Self {
        Self { failures: 0, backoff: Backoff::new(), log: LogThrottle::default() }
    }

    /// Takes note that reading has failed, and waits before it is tried again.
    pub(super) async fn pause(&mut self, shared: &Shared, inbox: &Inbox, failure: &Failure) {
        self.note(shared, inbox, failure);
        self.wait().await;
    }

    /// Waits, longer each time until reading goes on.
    pub(super) async fn wait(&mut self) {
        sleep(self.backoff.next_wait()).await;
    }

    /// Takes note that reading has failed. One failure alone is a connection that was lost, and is not worth a line; that
    /// the server is away is said for all.
    fn note(&mut self, shared: &Shared, inbox: &Inbox, failure: &Failure) {
        let error = failure.to_string();
        inbox.interrupt(&error);
        self.failures += 1;
        let (bus, subscriber) = (&*shared.bus, &*inbox.subscriber);
        let is_lasting = self.failures > if failure.is_passing() { MANY } else { 1 };
        if is_lasting && shared.server.is_up() && self.log.is_due(error.clone()) {
            tracing::warn!(bus, subscriber, error, "the subscriber cannot read its streams");
        } else {
            tracing::debug!(bus, subscriber, error, "reading is interrupted");
        }
    }

    /// Takes note that reading is about to go on. Where it has failed again and again, that is to be seen first.
    pub(super) fn begin(&self, inbox: &Inbox) {
        if self.failures <= 1 {
            inbox.set_live(true);
        }
    }

    /// Takes note that reading goes on.
    pub(super) fn end(&mut self, shared: &Shared, inbox: &Inbox) {
        inbox.set_live(true);
        self.failures = 0;
        self.backoff = Backoff::new();
        if self.log.clear() {
            let (bus, subscriber) = (&*shared.bus, &*inbox.subscriber);
            tracing::info!(bus, subscriber, "the subscriber reads its streams again");
        }
    }
}
