//! How a subscription is started.

use std::{collections::BTreeSet, sync::Arc};

use aury_events_backends::{BoxFuture, Consumer, SubscriptionSpec, Topic};

use super::EventBus;
use crate::{
    declared::SubscriberDeclaration,
    dispatch::{Closure, EventHandler, Handler as _, SubscriberEntry},
    error::{BackendFailure, SubscribeError},
    runtime::{Guarded, Running, Subscription, SubscriptionInfo},
};

impl EventBus {
    pub(super) async fn subscribe_closure<P, F>(
        &self,
        topic: Topic,
        closure: F,
    ) -> Result<Subscription, SubscribeError>
    where
        P: 'static,
        F: EventHandler<P>,
    {
        let id = self.core().next_dynamic_id(&topic);
        let spec = SubscriptionSpec::new(id, topic, Arc::clone(&self.handle.service));
        let handler = Closure::<P, F>::new(closure);
        let serve = |consumer, info| handler.serve(consumer, info);
        Ok(self.start(spec.broadcast(), serve).await?)
    }

    /// Starts the subscription of a subscriber known at link time.
    pub(crate) async fn start_linked(
        &self,
        entry: &'static SubscriberEntry,
    ) -> Result<(), BackendFailure> {
        let SubscriberDeclaration { id, topic, options, .. } = &entry.declaration;
        let service = Arc::clone(&self.handle.service);
        let mut spec = SubscriptionSpec::new(*id, topic.to_topic(), service);
        spec.concurrency = options.deliveries_at_a_time();
        spec.durable = options.durable;
        if options.broadcast {
            spec = spec.broadcast();
        }
        self.start(spec, |consumer, info| entry.serve(consumer, info)).await.map(drop)
    }

    async fn start(
        &self,
        spec: SubscriptionSpec,
        serve: impl FnOnce(Box<dyn Consumer>, Arc<SubscriptionInfo>) -> BoxFuture<'static, ()>,
    ) -> Result<Subscription, BackendFailure> {
        let id = Arc::clone(&spec.subscriber);
        let consumer = self.backend().subscribe(spec).await;
        let consumer = consumer.map_err(|error| {
            BackendFailure::new(format!("subscribe `{id}`"), self.name(), error)
        })?;
        let canceller = consumer.canceller();
        let breaker = self.handle.breakers.of(&id);
        let consumer = match &breaker {
            None => consumer,
            Some(breaker) => Box::new(Guarded::new(consumer, Arc::clone(breaker))),
        };
        let core = Arc::clone(self.handle.core());
        let info = SubscriptionInfo::new(Arc::clone(&id), core, self.index, breaker.clone());
        let info = Arc::new(info);
        let task = tokio::spawn(serve(consumer, Arc::clone(&info)));
        self.core().add_running(Running { id, breaker, task });
        Ok(Subscription::new(info, canceller, Arc::clone(&self.handle)))
    }

    /// The ids of all subscribers of this bus that the program knows, whether they run in this process or not.
    pub(super) fn known_subscribers(&self) -> BTreeSet<Arc<str>> {
        let here = SubscriberEntry::declared().filter(|declared| declared.bus == self.name());
        let mut known = self.core().known_ids();
        known.extend(here.map(|declared| Arc::from(declared.id)));
        known
    }
}
