//! How far a backend is on the way to its end.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use crate::{backend::Origin, in_flight::InFlight};

/// Whose events a backend takes. It only ever goes on: from open to draining to closed.
#[derive(Debug, Default)]
pub(crate) struct Stage(AtomicU8);

const DRAINING: u8 = 1;
const CLOSED: u8 = 2;

impl Stage {
    /// Whether everything is taken.
    pub(crate) fn is_open(&self) -> bool {
        self.0.load(SeqCst) == 0
    }

    /// Whether events of that origin are taken. While the bus drains, the application's are taken as long as a handler
    /// may be waiting for them.
    pub(crate) fn takes(&self, origin: Origin, in_flight: &InFlight) -> bool {
        match self.0.load(SeqCst) {
            0 => true,
            DRAINING => origin == Origin::Handler || in_flight.owned() > 0,
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
