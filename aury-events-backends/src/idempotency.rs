//! Which events a subscriber has handled: the memory of those that are `idempotent`.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex},
};

use crate::{envelope::Metadata, error::BackendError, maybe_ready::BoxFuture, sync::lock};

/// Remembers which events were handled with success.
///
/// A subscriber that is `idempotent` asks before it handles an event, and has the event marked after it has handled it.
/// Between the two there is no lock: a store need not do more than to remember. It may forget what is old.
pub trait IdempotencyStore: fmt::Debug + Send + Sync + 'static {
    /// Whether the event is marked.
    ///
    /// # Errors
    ///
    /// When that cannot be told: the event is then not handled now, but tried again later.
    fn is_handled<'a>(
        &'a self,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<bool, BackendError>>;

    /// Marks an event as handled.
    ///
    /// # Errors
    ///
    /// When that could not be done: a further copy of the event may be handled again.
    fn mark_handled<'a>(
        &'a self,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<(), BackendError>>;
}

/// An event at a subscriber. As text, `service/subscriber/event`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    subscriber: Arc<str>,
    event: Arc<str>,
}

impl IdempotencyKey {
    /// The key of an event at a subscriber of a service.
    pub fn new(service: &str, subscriber: &str, event: &Metadata) -> Self {
        let id = event.id();
        // An id from elsewhere is unique within its source only (CloudEvents 1.0 §`id`).
        let event = if id.as_uuid().is_some() {
            id.to_string()
        } else {
            format!("{id} of {}", event.source())
        };
        Self { subscriber: format!("{service}/{subscriber}").into(), event: event.into() }
    }

    /// The service and its subscriber.
    pub fn subscriber(&self) -> &str {
        &self.subscriber
    }

    /// The event: its id, and its source where the id alone is not enough.
    pub fn event(&self) -> &str {
        &self.event
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.subscriber, self.event)
    }
}

/// Remembers in this process, as long as it lives, the latest events of each subscriber.
#[derive(Debug)]
pub struct MemoryIdempotency {
    capacity: usize,
    subscribers: Mutex<HashMap<Arc<str>, Latest>>,
}

/// The latest events that one subscriber has handled.
#[derive(Debug, Default)]
struct Latest {
    events: HashSet<Arc<str>>,
    /// The oldest first.
    order: VecDeque<Arc<str>>,
}

impl MemoryIdempotency {
    /// One that remembers so many events of each subscriber.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, subscribers: Mutex::default() }
    }

    fn with<T>(&self, key: &IdempotencyKey, f: impl FnOnce(&mut Latest) -> T) -> T {
        let mut subscribers = lock(&self.subscribers);
        f(subscribers.entry(Arc::clone(&key.subscriber)).or_default())
    }
}

/// With 65,536 events of each subscriber.
impl Default for MemoryIdempotency {
    fn default() -> Self {
        Self::new(65_536)
    }
}

impl Latest {
    fn add(&mut self, event: &Arc<str>, capacity: usize) {
        if self.events.insert(Arc::clone(event)) {
            self.order.push_back(Arc::clone(event));
        }
        while self.order.len() > capacity {
            let Some(oldest) = self.order.pop_front() else { return };
            self.events.remove(&oldest);
        }
    }
}

impl IdempotencyStore for MemoryIdempotency {
    fn is_handled<'a>(
        &'a self,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<bool, BackendError>> {
        let is_handled = self.with(key, |latest| latest.events.contains(&key.event));
        Box::pin(async move { Ok(is_handled) })
    }

    fn mark_handled<'a>(
        &'a self,
        key: &'a IdempotencyKey,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.with(key, |latest| latest.add(&key.event, self.capacity));
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::envelope::{EventId, EventName};

    fn key(subscriber: &str, number: u128) -> IdempotencyKey {
        let id = EventId::from(Uuid::from_u128(number));
        let event = Metadata::received(EventName::from_static("order.created"), id, "/shop");
        IdempotencyKey::new("shop", subscriber, &event)
    }

    #[tokio::test]
    async fn the_latest_events_of_each_subscriber_are_remembered() {
        let store = MemoryIdempotency::new(2);
        for number in [1, 2, 2, 3] {
            store.mark_handled(&key("mail", number)).await.unwrap();
        }
        let mut handled = Vec::new();
        for number in 1..=4 {
            handled.push(store.is_handled(&key("mail", number)).await.unwrap());
        }
        assert_eq!(handled, [false, true, true, false]);
        assert!(!store.is_handled(&key("audit", 3)).await.unwrap());
    }

    #[test]
    fn an_id_from_elsewhere_counts_with_its_source() {
        let key = |source: &str| {
            let id = EventId::from(Arc::<str>::from("7"));
            let event = Metadata::received(EventName::from_static("order.created"), id, source);
            IdempotencyKey::new("shop", "mail", &event)
        };
        assert_ne!(key("/till/1"), key("/till/2"));
        assert_eq!(key("/till/1").to_string(), "shop/mail/7 of /till/1");
    }
}
