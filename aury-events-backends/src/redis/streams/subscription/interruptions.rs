//! What keeps a subscriber from reading: in its health at once, in the log when it lasts.

use super::super::{inbox::Inbox, server::Failure, shared::Shared};
use crate::kit::LogThrottle;

/// From how many failures in a row on it is worth a line that the server is out of reach for a subscriber and there for
/// all others.
const MANY: u32 = 10;

/// Says that a subscriber cannot read, and when it can again.
#[derive(Debug, Default)]
pub(super) struct Interruptions {
    /// How often reading has failed in a row.
    failures: u32,
    log: LogThrottle<String>,
}

impl Interruptions {
    /// Takes note that reading has failed. One failure alone is a connection that was lost, and is not worth a line; that
    /// the server is away is said for all.
    pub(super) fn note(&mut self, shared: &Shared, inbox: &Inbox, failure: &Failure) {
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
        if self.log.clear() {
            let (bus, subscriber) = (&*shared.bus, &*inbox.subscriber);
            tracing::info!(bus, subscriber, "the subscriber reads its streams again");
        }
    }
}
