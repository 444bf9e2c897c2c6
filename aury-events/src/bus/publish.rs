//! From an event to the backend.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use aury_events_backends::{
    BackendError, BoxFuture, Envelope, EventId, Metadata, Origin, Outgoing, Payload,
    envelope::{Cause, SharedStr, TraceContext},
};

use super::EventBus;
use crate::{
    declared::{Event, name_of},
    error::{PublishError, UnknownBus},
    runtime::{
        BusCore, Context, Current,
        observe::{MessageSpan, is_listening},
    },
};

/// An event about to be published, with what goes along: made by [`EventBus::publish`] and
/// [`aury_events::publish`](crate::publish).
///
/// It is a future. Nothing happens until it is polled, as by `.await` or in a task of its own:
///
/// ```
/// # use aury_events::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # use std::time::Duration;
/// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated;
/// # async fn f(bus: EventBus) -> Result<(), Box<dyn std::error::Error>> {
/// bus.publish(OrderCreated).header("tenant", "acme").delay(Duration::from_secs(60)).await?;
/// tokio::spawn(bus.publish(OrderCreated)).await??;
/// # Ok(()) }
/// ```
///
/// Dropped while it waits, it may have reached some subscribers and not others.
#[must_use = "nothing is published until it is awaited"]
pub struct Publish<E> {
    /// The bus, or how to find the one that the event's type names.
    to: Result<EventBus, FindBus>,
    /// Taken when it is handed to the backend.
    event: Option<Arc<E>>,
    /// A trait object, whose drop is a call: where there is none, all that is left of it is a test.
    rare: Option<Box<dyn AnyRare>>,
}

/// Finds a bus by its name.
type FindBus = fn(&str) -> Result<EventBus, UnknownBus>;

/// What is rarely there.
#[derive(Default)]
struct Rare {
    unknown_bus: Option<UnknownBus>,
    cause: Option<Cause>,
    trace: Option<TraceContext>,
    key: Option<SharedStr>,
    headers: Vec<(SharedStr, SharedStr)>,
    delay: Option<Duration>,
    waiting: Option<Waiting>,
}

/// [`Rare`] alone.
trait AnyRare: Send {
    fn rare(&mut self) -> &mut Rare;

    fn into_rare(self: Box<Self>) -> Rare;
}

impl AnyRare for Rare {
    fn rare(&mut self) -> &mut Rare {
        self
    }

    fn into_rare(self: Box<Self>) -> Rare {
        *self
    }
}

/// What the backend has to wait for.
struct Waiting {
    id: EventId,
    span: Option<MessageSpan>,
    published: BoxFuture<'static, Result<(), BackendError>>,
}

impl<E: Event> Publish<E> {
    #[inline]
    pub(super) fn on(bus: EventBus, event: Arc<E>) -> Self {
        Self { to: Ok(bus), event: Some(event), rare: None }
    }

    /// Publishes on the bus that `find` gives for the name which the event's type names, when the time has come.
    #[inline]
    pub(crate) fn on_found(find: FindBus, event: Arc<E>) -> Self {
        Self { to: Err(find), event: Some(event), rare: None }
    }

    /// Fails when it is published: there is no such bus.
    pub(super) fn nowhere(self, unknown_bus: UnknownBus) -> Self {
        self.with(|rare| rare.unknown_bus = Some(unknown_bus))
    }

    fn with(mut self, set: impl FnOnce(&mut Rare)) -> Self {
        set(self.rare_mut());
        self
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(|| Box::<Rare>::default()).rare()
    }

    /// Sets a header; one of the same name is replaced.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let header = (name.into().into(), value.into().into());
        self.with(|rare| rare.headers.push(header))
    }

    /// Sets the key of this one event, in place of [`Event::key`].
    pub fn key(self, key: impl Into<String>) -> Self {
        let key = key.into().into();
        self.with(|rare| rare.key = Some(key))
    }

    /// Delivers the event later: to those who listen to it when so much time has passed since it was published.
    ///
    /// `Ok` then means that the event waits. On `memory`, it waits in this process: it counts as in flight, so that
    /// [`settled`](EventBus::settled) waits for it, and a shutdown too, up to its time limit; what is left over then is
    /// lost, and [`ShutdownError`](crate::ShutdownError) reports it. On `redis-streams` and `rabbitmq`, it waits on the
    /// server and survives every process; it may come up to half a second late. `redis` offers no delay.
    pub fn delay(self, delay: Duration) -> Self {
        self.with(|rare| rare.delay = Some(delay).filter(|delay| !delay.is_zero()))
    }

    /// Continues a trace that came from elsewhere, as with a request, in place of that of the event that the current
    /// task handles.
    pub fn trace(self, trace: TraceContext) -> Self {
        self.with(|rare| rare.trace = Some(trace))
    }

    /// Publishes it as a consequence of the event of `context`, in place of the one that the current task handles.
    pub fn caused_by(self, context: &Context) -> Self {
        self.with(|rare| rare.cause = Some(context.metadata().as_cause()))
    }

    #[inline(always)]
    fn found(&mut self) -> Result<&EventBus, UnknownBus> {
        if let Err(find) = self.to {
            self.to = Ok(find(E::BUS)?);
        }
        Ok(self.to.as_ref().unwrap_or_else(|_| unreachable!("it has just been found")))
    }

    /// Publishes an event with what goes along, and takes note of what the backend has to wait for.
    #[cold]
    fn start_with(&mut self, event: Arc<E>) -> Option<Result<EventId, PublishError>> {
        let rare = self.rare.take().map(|rare| rare.into_rare()).unwrap_or_default();
        let Rare { unknown_bus, cause, trace, key, headers, delay, .. } = rare;
        let bus = match unknown_bus {
            None => self.found(),
            Some(unknown) => Err(unknown),
        };
        let bus = match bus {
            Ok(bus) => bus,
            Err(unknown) => return Some(Err(unknown.into())),
        };
        if delay.is_some() && !bus.backend().capabilities().delay {
            return Some(Err(PublishError::no_delay(bus.name(), bus.core().backend_name())));
        }
        let cause = cause.or_else(Current::cause);
        if let Err(error) = check_hops::<E>(bus, cause.as_ref()) {
            return Some(Err(error));
        }
        let mut metadata = metadata_of(bus, &*event, cause.as_ref());
        if let Some(trace) = trace {
            metadata = metadata.in_trace(trace, None);
        }
        if let Some(key) = key {
            metadata = metadata.with_key(key);
        }
        for (name, value) in headers {
            metadata = metadata.with_header(name, value);
        }
        let span = MessageSpan::publish(bus.core(), &mut metadata, trace.is_some());
        let envelope = Envelope::new(metadata, Payload::Typed(E::into_payload(event)));
        let origin = origin_of(cause.as_ref());
        let id = envelope.metadata().id();
        let core = bus.core();
        let hand_over = || hand_over(core, Outgoing { envelope, origin, delay });
        let handed_over = match &span {
            None => hand_over(),
            Some(span) => span.enter(hand_over),
        };
        match (handed_over, span) {
            (Ok(published), span) => Some(outcome(bus, id, span.as_ref(), published)),
            (Err(published), None) => self.wait(id, None, published),
            (Err(published), Some(span)) => {
                let published = Box::pin(span.around(published));
                self.wait(id, Some(span), published)
            }
        }
    }

    #[cold]
    fn wait(
        &mut self,
        id: EventId,
        span: Option<MessageSpan>,
        published: BoxFuture<'static, Result<(), BackendError>>,
    ) -> Option<Result<EventId, PublishError>> {
        self.rare_mut().waiting = Some(Waiting { id, span, published });
        None
    }

    #[cold]
    fn poll_waiting(&mut self, task: &mut Task<'_>) -> Poll<Result<EventId, PublishError>> {
        let waiting = self.rare.as_mut().and_then(|rare| rare.rare().waiting.as_mut());
        let (Some(waiting), Ok(bus)) = (waiting, &self.to) else {
            panic!("a completed future is not polled again");
        };
        let published = std::task::ready!(waiting.published.as_mut().poll(task));
        let outcome = outcome(bus, waiting.id.clone(), waiting.span.as_ref(), published);
        self.rare = None;
        Poll::Ready(outcome)
    }
}

impl<E: Event> Future for Publish<E> {
    type Output = Result<EventId, PublishError>;

    /// # Panics
    ///
    /// When polled again after it has completed, as other futures do.
    #[inline]
    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(event) = this.event.take() else { return this.poll_waiting(task) };
        if this.rare.is_some() || is_listening() {
            return match this.start_with(event) {
                Some(outcome) => Poll::Ready(outcome),
                None => this.poll_waiting(task),
            };
        }
        let bus = match this.found() {
            Ok(bus) => bus,
            Err(unknown) => return Poll::Ready(Err(unknown.into())),
        };
        let cause = Current::cause();
        if let Err(error) = check_hops::<E>(bus, cause.as_ref()) {
            return Poll::Ready(Err(error));
        }
        // Looked up once: it is behind two pointers.
        let core = bus.core();
        let outgoing = outgoing(bus, core, event, cause.as_ref());
        let id = outgoing.envelope.metadata().id();
        match hand_over(core, outgoing) {
            Ok(Ok(())) => Poll::Ready(Ok(id)),
            Ok(Err(error)) => Poll::Ready(Err(bus.not_published(error))),
            Err(published) => {
                this.wait(id, None, published);
                this.poll_waiting(task)
            }
        }
    }
}

/// Hands an event to the backend.
#[inline(always)]
fn hand_over(
    core: &BusCore,
    outgoing: Outgoing,
) -> Result<Result<(), BackendError>, BoxFuture<'static, Result<(), BackendError>>> {
    match core.ready_publisher() {
        Some(publisher) => publisher.publish_ready(outgoing).now(),
        None => {
            let backend = Arc::clone(core.shared_backend());
            Err(Box::pin(async move { backend.publish(outgoing).await }))
        }
    }
}

#[cold]
fn outcome(
    bus: &EventBus,
    id: EventId,
    span: Option<&MessageSpan>,
    published: Result<(), BackendError>,
) -> Result<EventId, PublishError> {
    let error = match published {
        Ok(()) => return Ok(id),
        Err(error) => bus.not_published(error),
    };
    if let Some(span) = span {
        span.fail(error.kind());
    }
    Err(error)
}

impl<E: Event> fmt::Debug for Publish<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct("Publish");
        output.field("event", &E::NAME);
        if let Ok(bus) = &self.to {
            output.field("bus", &bus.name());
        }
        output.finish_non_exhaustive()
    }
}

/// The guard against subscribers that feed each other for ever: an event may be one too many in its chain.
#[inline]
pub(super) fn check_hops<E: Event>(
    bus: &EventBus,
    cause: Option<&Cause>,
) -> Result<(), PublishError> {
    let max_hops = bus.handle.max_hops;
    match cause.map(Cause::hops_on) {
        Some(hops) if hops > max_hops => {
            let subscriber = Current::subscriber();
            Err(PublishError::too_many_hops(name_of::<E>(), subscriber.as_deref(), hops, max_hops))
        }
        _ => Ok(()),
    }
}

#[inline]
fn origin_of(cause: Option<&Cause>) -> Origin {
    if cause.is_some() { Origin::Handler } else { Origin::Application }
}

/// Puts an event into its envelope, as one that is published now.
#[inline]
pub(super) fn outgoing<E: Event>(
    bus: &EventBus,
    core: &BusCore,
    event: Arc<E>,
    cause: Option<&Cause>,
) -> Outgoing {
    let envelope = if core.is_remote() {
        Envelope::new(metadata_of(bus, &*event, cause), Payload::Typed(E::into_payload(event)))
    } else {
        let (source, payload) = (bus.handle.source, Payload::Typed(E::into_payload(event)));
        Envelope::published(name_of::<E>(), E::VERSION, source, cause, payload)
    };
    Outgoing { envelope, origin: origin_of(cause), delay: None }
}

/// The span in which many events are published; `None` when nobody listens.
pub(super) fn span_of_many<E: Event>(bus: &EventBus) -> Option<MessageSpan> {
    if !is_listening() {
        return None;
    }
    MessageSpan::publish_many(bus.core(), &name_of::<E>())
}

/// Puts one of many events into its envelope, and into the trace of the span that publishes them.
pub(super) fn outgoing_in<E: Event>(
    bus: &EventBus,
    span: &MessageSpan,
    event: Arc<E>,
    cause: Option<&Cause>,
) -> Outgoing {
    let mut metadata = metadata_of(bus, &*event, cause);
    span.put_in_trace(&mut metadata);
    let envelope = Envelope::new(metadata, Payload::Typed(E::into_payload(event)));
    Outgoing { envelope, origin: origin_of(cause), delay: None }
}

/// The metadata of an event published now, with its key if it leaves the process.
fn metadata_of<E: Event>(bus: &EventBus, event: &E, cause: Option<&Cause>) -> Metadata {
    let metadata = Metadata::new(name_of::<E>(), E::VERSION, bus.handle.source, cause);
    if !bus.core().is_remote() {
        // It stays in the event, where subscribers in this process see it.
        return metadata;
    }
    match event.key() {
        Some(key) => metadata.with_key(&*key),
        None => metadata,
    }
}
