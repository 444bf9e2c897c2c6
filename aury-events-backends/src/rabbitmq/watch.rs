//! What happens when handlers block the application's runtime.

use std::{sync::Arc, time::Duration};

use super::{link::Link, subscriptions::Subscriptions};
use crate::kit::Watcher;

/// Watches the runtime of one bus.
pub(super) struct Watch {
    pub(super) bus: Arc<str>,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) consuming: Arc<Link>,
}

impl Watcher for Watch {
    fn stands_still(&self, since: Duration) {
        let busy = self.subscriptions.busy();
        if busy.is_empty() {
            return;
        }
        tracing::warn!(
            bus = &*self.bus,
            subscriber = busy.join(", "),
            "the handler of this subscriber, or of one of these, has blocked the runtime of the application for \
             {since:.1?}: nothing else runs meanwhile. Blocking work belongs into `tokio::task::spawn_blocking`"
        );
    }

    fn gives_up(&self, since: Duration) {
        let busy = self.subscriptions.busy();
        if busy.is_empty() {
            return;
        }
        tracing::error!(
            bus = &*self.bus,
            subscriber = busy.join(", "),
            "the runtime of the application has been blocked for {since:.1?}: this process gives up what it holds of \
             RabbitMQ, so that another one handles it"
        );
        self.consuming.cut();
    }
}
