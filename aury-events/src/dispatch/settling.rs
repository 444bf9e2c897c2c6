//! Settlements that the backend is taking note of, while the next events are handled.

use aury_events_backends::{BackendError, Delivery, Settlement};
use tokio::task::JoinSet;

use super::report::warn_unsettled;
use crate::runtime::SubscriptionInfo;

/// How many may be under way before the next one waits. The backend bounds them by what it hands out, too.
const AT_A_TIME: usize = 1024;

/// What the backend is taking note of.
pub(super) struct Settling<'a> {
    info: &'a SubscriptionInfo,
    pending: JoinSet<Result<(), BackendError>>,
}

impl<'a> Settling<'a> {
    pub(super) fn new(info: &'a SubscriptionInfo) -> Self {
        Self { info, pending: JoinSet::new() }
    }

    /// Settles a delivery, and waits for nothing. Gives whether it was settled at once.
    #[inline]
    pub(super) fn add(&mut self, delivery: Delivery, settlement: Settlement) -> bool {
        match delivery.settle(settlement).now() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn_unsettled(self.info, &error),
            Err(pending) => {
                self.pending.spawn(pending);
                return false;
            }
        }
        true
    }

    pub(super) fn extend(&mut self, settlements: impl Iterator<Item = (Delivery, Settlement)>) {
        for (delivery, settlement) in settlements {
            self.add(delivery, settlement);
        }
    }

    /// Looks at those that have ended, and waits while there are too many.
    pub(super) async fn room(&mut self) {
        while let Some(joined) = self.pending.try_join_next() {
            self.report(joined.ok());
        }
        while self.pending.len() >= AT_A_TIME {
            let joined = self.pending.join_next().await;
            self.report(joined.and_then(Result::ok));
        }
    }

    /// Waits until all have ended.
    pub(super) async fn done(mut self) {
        while let Some(joined) = self.pending.join_next().await {
            self.report(joined.ok());
        }
    }

    fn report(&self, settled: Option<Result<(), BackendError>>) {
        if let Some(Err(error)) = settled {
            warn_unsettled(self.info, &error);
        }
    }
}
