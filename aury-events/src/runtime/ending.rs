//! How far the buses of a manager are on the way to their end.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use tokio::sync::watch;

/// From open to draining to closing; it only ever goes on.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    stage: AtomicU8,
    is_draining: watch::Sender<bool>,
}

const DRAINING: u8 = 1;
const CLOSING: u8 = 2;

impl Ending {
    /// Nothing new is taken from the application; what runs is waited for.
    pub(crate) fn drain(&self) {
        self.stage.fetch_max(DRAINING, SeqCst);
        self.is_draining.send_replace(true);
    }

    /// Nothing is waited for any more.
    pub(crate) fn close(&self) {
        self.stage.store(CLOSING, SeqCst);
    }

    /// Whether shutdown has begun.
    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.stage.load(SeqCst) >= DRAINING
    }

    /// Whether shutdown waits for nothing any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.stage.load(SeqCst) == CLOSING
    }

    /// For those who wait until shutdown begins.
    pub(crate) fn draining(&self) -> watch::Receiver<bool> {
        self.is_draining.subscribe()
    }
}
