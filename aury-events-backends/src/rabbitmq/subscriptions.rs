//! The subscriptions of a bus in this process.

use std::sync::{Arc, Mutex, MutexGuard};

use lapin::types::ShortString;

use super::inbox::{Inbox, Intake};
use crate::{backend::SubscriptionHealth, kit::lock};

/// What the backend does to all of them, and knows of them.
#[derive(Default)]
pub(super) struct Subscriptions(Mutex<Vec<Arc<Inbox>>>);

impl Subscriptions {
    fn inboxes(&self) -> MutexGuard<'_, Vec<Arc<Inbox>>> {
        lock(&self.0)
    }

    pub(super) fn add(&self, inbox: Arc<Inbox>) {
        let mut inboxes = self.inboxes();
        inboxes.retain(|inbox| !inbox.has_ended());
        inboxes.push(inbox);
    }

    pub(super) fn advance(&self, to: Intake) {
        // Not under the lock: what is given back takes its time.
        let inboxes = self.inboxes().clone();
        for inbox in inboxes {
            inbox.advance(to);
        }
    }

    /// The queue that a subscriber has for this process alone, if it has one.
    pub(super) fn own_queue(&self, subscriber: &str) -> Option<ShortString> {
        let inboxes = self.inboxes().clone();
        let mut its_own = inboxes.iter().filter(|inbox| &*inbox.subscriber == subscriber);
        its_own.find_map(|inbox| inbox.own_queue())
    }

    /// The subscribers whose handlers have something in hand.
    pub(super) fn busy(&self) -> Vec<String> {
        let inboxes = self.inboxes();
        let busy = inboxes.iter().filter(|inbox| inbox.is_busy());
        busy.map(|inbox| inbox.subscriber.to_string()).collect()
    }

    pub(super) fn health(&self) -> Vec<SubscriptionHealth> {
        let inboxes = self.inboxes().clone();
        let open = inboxes.iter().filter(|inbox| inbox.intake() == Intake::Open);
        open.map(|inbox| inbox.health()).collect()
    }
}
