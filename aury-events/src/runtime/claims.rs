//! What an idempotent subscription is handling.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{Mutex, MutexGuard},
};

use aury_events_backends::{idempotency::IdempotencyKey, kit::lock};
use tokio::sync::Notify;

/// What an idempotent subscription is handling now.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: Mutex<HashSet<IdempotencyKey>>,
    released: Notify,
}

/// One event, while it is being handled.
pub(crate) struct Claim<'a> {
    claims: &'a Claims,
    key: &'a IdempotencyKey,
}

impl Claims {
    fn held(&self) -> MutexGuard<'_, HashSet<IdempotencyKey>> {
        lock(&self.held)
    }

    /// Waits until nobody else handles the event.
    pub(crate) async fn claim<'a>(&'a self, key: &'a IdempotencyKey) -> Claim<'a> {
        loop {
            let mut released = pin!(self.released.notified());
            released.as_mut().enable();
            if self.held().insert(key.clone()) {
                return Claim { claims: self, key };
            }
            released.await;
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claims.held().remove(self.key);
        self.claims.released.notify_waiters();
    }
}
