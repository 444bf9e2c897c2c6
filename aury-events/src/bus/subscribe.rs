//! How a subscription is started.

use std::{
    collections::BTreeSet,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use aury_events_backends::{BoxFuture, Consumer, SubscriptionSpec, Topic};

use super::EventBus;
use crate::{
    declared::{Needs, Options, Retry, SubscriberDeclaration},
    dispatch::{Closure, EventHandler, Handler as _, SubscriberEntry},
    error::{BackendFailure, Place, SubscribeError},
    runtime::{DYNAMIC, DynamicId, Guarded, Running, Subscription, SubscriptionInfo},
};

/// A subscription about to be made, with its options: what [`EventBus::subscribe`] and [`EventBus::subscribe_pattern`]
/// return.
///
/// It is a future. Nothing happens until it is polled, as by `.await`.
///
/// ```
/// # use aury_events::{Retry, prelude::*};
/// # use serde::{Deserialize, Serialize};
/// # use std::{sync::Arc, time::Duration};
/// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated { id: u64 }
/// # #[derive(Clone)] struct Mailer;
/// # impl Mailer { async fn confirm(&self, order: u64) -> Result<(), std::io::Error> { Ok(()) } }
/// # async fn f(bus: EventBus) -> Result<(), aury_events::Error> {
/// let subscription = bus
///     .subscribe(async |event: Arc<OrderCreated>, State(mailer): State<Mailer>| {
///         mailer.confirm(event.id).await
///     })
///     .name("mail")
///     .retry(Retry::attempts(5).exponential())
///     .timeout(Duration::from_secs(10))
///     .concurrency(4)
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is subscribed until it is awaited"]
pub struct Subscribe {
    bus: EventBus,
    stage: Stage,
}

enum Stage {
    Planned(Box<Plan>),
    Starting(BoxFuture<'static, Result<Subscription, SubscribeError>>),
    Done,
}

/// What is to be subscribed.
struct Plan {
    topic: Result<Topic, SubscribeError>,
    name: Option<String>,
    options: Options,
    needs: Needs,
    serve: Box<ServeFn>,
}

/// Serves a subscription to its end.
type ServeFn =
    dyn FnOnce(Options, Box<dyn Consumer>, Arc<SubscriptionInfo>) -> BoxFuture<'static, ()> + Send;

impl Subscribe {
    pub(super) fn on<P, F>(bus: EventBus, topic: Result<Topic, SubscribeError>, closure: F) -> Self
    where
        P: 'static,
        F: EventHandler<P>,
    {
        let mut needs = Needs::default();
        F::needs(&mut needs);
        let serve: Box<ServeFn> = Box::new(|options, consumer, info| {
            Closure::<P, F>::new(closure, options).serve(consumer, info)
        });
        let options = Options { broadcast: true, ..Options::DEFAULT };
        let plan = Plan { topic, name: None, options, needs, serve };
        Self { bus, stage: Stage::Planned(Box::new(plan)) }
    }

    fn with(mut self, set: impl FnOnce(&mut Plan)) -> Self {
        if let Stage::Planned(plan) = &mut self.stage {
            set(plan);
        }
        self
    }

    /// Sets the id of the subscriber, as it stands in logs, health and dead letters, in place of one that is made up:
    /// ASCII letters, digits, `_`, `-`, `.` and `:`, at most 200 bytes. With it, the dead letters of an earlier run of
    /// the program are found again.
    pub fn name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.with(|plan| plan.name = Some(name))
    }

    /// Has an event tried again when its handler fails. Otherwise, it becomes a dead letter at once.
    pub fn retry(self, retry: Retry) -> Self {
        self.with(|plan| plan.options.retry = Some(retry))
    }

    /// Sets how long an attempt may take. An attempt that takes longer is dropped where it is, and counts as failed.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|plan| plan.options.timeout = Some(timeout))
    }

    /// Sets how many events are handled at a time, at least one: one unless set, in the order in which they come.
    pub fn concurrency(self, concurrency: usize) -> Self {
        self.with(|plan| plan.options.concurrency = concurrency.max(1))
    }
}

impl Plan {
    async fn start(self, bus: EventBus) -> Result<Subscription, SubscribeError> {
        let Self { topic, name, options, needs, serve } = self;
        let topic = topic?;
        let id = match name {
            None => bus.core().next_dynamic_id(&topic),
            Some(name) => bus.named(name)?,
        };
        if let Some(state) = bus.handle.states.missing(&needs).next() {
            return Err(SubscribeError::missing_state(id.get(), state));
        }
        if let Some(option) = needs.settled_twice(&options).next() {
            return Err(SubscribeError::settled_twice(id.get(), option));
        }
        let spec = bus.spec(Arc::clone(id.get()), topic, &options);
        let serve = |consumer, info| -> BoxFuture<'static, ()> {
            let serving = serve(options, consumer, info);
            Box::pin(async move {
                // Taken until the subscription has ended.
                let _id = id;
                serving.await;
            })
        };
        Ok(bus.start(spec, serve).await?)
    }
}

impl Future for Subscribe {
    type Output = Result<Subscription, SubscribeError>;

    /// # Panics
    ///
    /// When polled again after it has completed, as other futures do.
    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let Self { bus, stage } = self.get_mut();
        loop {
            match std::mem::replace(stage, Stage::Done) {
                Stage::Planned(plan) => *stage = Stage::Starting(Box::pin(plan.start(bus.clone()))),
                Stage::Starting(mut starting) => {
                    let polled = starting.as_mut().poll(task);
                    if polled.is_pending() {
                        *stage = Stage::Starting(starting);
                    }
                    return polled;
                }
                Stage::Done => panic!("a completed future is not polled again"),
            }
        }
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct("Subscribe");
        output.field("bus", &self.bus.name());
        if let Stage::Planned(plan) = &self.stage {
            let Plan { topic, name, options, .. } = &**plan;
            output.field("topic", topic).field("name", name).field("options", options);
        }
        output.finish_non_exhaustive()
    }
}

impl EventBus {
    /// Starts the subscription of a subscriber known at link time.
    pub(crate) async fn start_linked(
        &self,
        entry: &'static SubscriberEntry,
    ) -> Result<(), BackendFailure> {
        let SubscriberDeclaration { id, topic, options, .. } = &entry.declaration;
        let spec = self.spec((*id).into(), topic.to_topic(), options);
        self.start(spec, |consumer, info| entry.serve(consumer, info)).await.map(drop)
    }

    /// A name as the id of a subscription, which no other subscriber has.
    fn named(&self, name: String) -> Result<DynamicId, SubscribeError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
        let is_valid = (1..=200).contains(&name.len()) && name.chars().all(is_allowed);
        if !is_valid || name.starts_with(DYNAMIC) {
            return Err(SubscribeError::InvalidName { name });
        }
        if let Some(declared) = SubscriberEntry::declared().find(|declared| declared.id == name) {
            let function = Some(Place { name: declared.path, location: declared.location });
            return Err(SubscribeError::NameTaken { name, function });
        }
        let id = self.core().named_dynamic_id(name.as_str().into());
        id.ok_or(SubscribeError::NameTaken { name, function: None })
    }

    fn spec(&self, id: Arc<str>, topic: Topic, options: &Options) -> SubscriptionSpec {
        let mut spec = SubscriptionSpec::new(id, topic, Arc::clone(&self.handle.service));
        spec.concurrency = options.deliveries_at_a_time();
        spec.durable = options.durable;
        if options.broadcast { spec.broadcast() } else { spec }
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
