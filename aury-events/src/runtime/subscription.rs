//! Subscriptions: what a handler knows of its own, and those made at run time.

use std::{fmt, sync::Arc};

use aury_events_backends::{Cancel, kit::TaskName};

use super::{BusCore, Claims, Core, Current, Handle, circuit_breaker::Breaker};

/// Who a subscription is: its subscriber and its bus.
pub struct SubscriptionInfo {
    id: Arc<str>,
    core: Arc<Core>,
    /// The place of its bus.
    bus: usize,
    claims: Claims,
    breaker: Option<Arc<Breaker>>,
}

impl fmt::Debug for SubscriptionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SubscriptionInfo").field(&self.id).finish()
    }
}

impl SubscriptionInfo {
    pub(crate) fn new(
        id: Arc<str>,
        core: Arc<Core>,
        bus: usize,
        breaker: Option<Arc<Breaker>>,
    ) -> Self {
        Self { id, core, bus, claims: Claims::default(), breaker }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// What its loops are called in the log.
    pub(crate) fn task_name(&self) -> TaskName {
        TaskName::of_subscriber("handles events", self.bus().name(), Arc::clone(&self.id))
    }

    /// The place of its bus among those of the core.
    pub(crate) fn bus_index(&self) -> usize {
        self.bus
    }

    pub(crate) fn bus(&self) -> &BusCore {
        &self.core.buses[self.bus]
    }

    /// Pauses it when it keeps failing.
    pub(crate) fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_deref()
    }

    /// What an idempotent subscriber is handling now.
    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// A subscription made at run time by [`EventBus::subscribe`](crate::EventBus::subscribe).
///
/// It lasts until [`unsubscribe`](Self::unsubscribe) or the shutdown of its manager. Dropping the handle changes
/// nothing, unless it is the last that the application holds of the manager: then everything ends.
pub struct Subscription {
    info: Arc<SubscriptionInfo>,
    canceller: Arc<dyn Cancel>,
    /// Keeps the buses running.
    _handle: Arc<Handle>,
}

impl Subscription {
    pub(crate) fn new(
        info: Arc<SubscriptionInfo>,
        canceller: Arc<dyn Cancel>,
        handle: Arc<Handle>,
    ) -> Self {
        Self { info, canceller, _handle: handle }
    }

    /// The id of the subscriber, as it stands in logs and dead letters.
    pub fn id(&self) -> &str {
        self.info.id()
    }

    /// Ends the subscription: no event published from now on reaches it. Returns when those that had reached it
    /// before are handled.
    ///
    /// Called from the subscription's own handler, it returns at once, since that handler is one of those to wait for.
    ///
    /// Cancel safe: the subscription ends all the same.
    pub async fn unsubscribe(self) {
        self.canceller.cancel();
        if !Current::is_of(&self.info) {
            self.info.bus().join(&self.info.id).await;
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.id()).finish()
    }
}
