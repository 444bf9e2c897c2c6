//! Settlements that the backend is taking note of, while the next events are handled.

use aury_events_backends::{BackendError, Delivery, Settlement};
use tokio::task::JoinSet;

use super::report::warn_unsettled;
use crate::runtime::{
    SubscriptionInfo,
    observe::{self, MessageSpan},
};

/// How many may be under way before the next one waits. The backend bounds them by what it hands out, too.
const AT_A_TIME: usize = 1024;

/// What the backend is taking note of.
pub(super) struct Settling<'a> {
    info: &'a SubscriptionInfo,
    /// Whether settlements go over the network.
    is_remote: bool,
    pending: JoinSet<Result<(), BackendError>>,
}

impl<'a> Settling<'a> {
    pub(super) fn new(info: &'a SubscriptionInfo) -> Self {
        Self { info, is_remote: info.bus().is_remote(), pending: JoinSet::new() }
    }

    /// Settles a delivery, and waits for nothing. Gives whether it was settled at once.
    #[inline]
    pub(super) fn add(&mut self, delivery: Delivery, settlement: Settlement) -> bool {
        if self.is_remote && tracing::level_enabled!(observe::SETTLE) {
            return self.add_in_span(delivery, settlement);
        }
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

    /// The same where somebody may listen to spans of settlements that go over the network.
    #[cold]
    fn add_in_span(&mut self, delivery: Delivery, settlement: Settlement) -> bool {
        let span = MessageSpan::settle(self.info, delivery.metadata());
        let settling = match &span {
            None => delivery.settle(settlement),
            Some(span) => span.enter(|| delivery.settle(settlement)),
        };
        let pending = match settling.now() {
            Ok(settled) => {
                note(span.as_ref(), &settled);
                self.report(Some(settled));
                return true;
            }
            Err(pending) => pending,
        };
        self.pending.spawn(async move {
            let settled = match &span {
                None => pending.await,
                Some(span) => span.around(pending).await,
            };
            note(span.as_ref(), &settled);
            settled
        });
        false
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

/// Notes in its span that a settlement failed.
fn note(span: Option<&MessageSpan>, settled: &Result<(), BackendError>) {
    if let (Some(span), Err(error)) = (span, settled) {
        span.fail(error.kind());
    }
}
