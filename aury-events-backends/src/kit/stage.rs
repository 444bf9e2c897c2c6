//! How far a backend is on the way to its end.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use crate::backend::Origin;

/// Whose events a backend takes. It only ever goes on: from open to draining to closed.
#[derive(Debug, Default)]
pub(crate) struct Stage(AtomicU8);

const DRAINING: u8 = 1;
const CLOSED: u8 = 2;

impl Stage {
    /// Whether events of that origin are taken. While the bus drains, it is what handlers publish.
    pub(crate) fn takes(&self, origin: Origin) -> bool {
        match self.0.load(SeqCst) {
            0 => true,
            DRAINING => origin == Origin::Handler,
            _ => false,
        }
    }

    pub(crate) fn drain(&self) {
        self.0.fetch_max(DRAINING, SeqCst);
    }

    pub(crate) fn close(&self) {
        self.0.store(CLOSED, SeqCst);
    }
}
