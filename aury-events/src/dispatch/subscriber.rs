//! The link-time entry of a `#[subscribe]` function.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use aury_events_backends::{BoxFuture, Consumer, EventName, Topic, envelope::Pattern};

use crate::{
    declared::event::Event,
    declared::location::Location,
    dispatch::{self, BatchHandler, FromEnvelope, Handler, HandlerResult, Retry},
    extract::Needs,
    runtime::subscription::SubscriptionInfo,
};

/// What `#[subscribe]` makes of a function: everything that is known while compiling.
pub trait Subscriber: Send + Sync + 'static {
    /// The stable id.
    const ID: &'static str;
    /// The path of the function.
    const PATH: &'static str;
    /// Where it stands.
    const LOCATION: Location;
    /// The bus that it listens on.
    const BUS: &'static str = <Self::Input as FromEnvelope>::BUS;
    /// What it listens to.
    const TOPIC: StaticTopic = <Self::Input as FromEnvelope>::TOPIC;
    /// Its further options.
    const OPTIONS: Options;

    /// What the function takes as its first parameter, in the form in which it is handed on.
    type Input: FromEnvelope;
    /// What it takes at a time: one of them, or a batch.
    type Taken: Send;

    /// Names what the function's further parameters need at start-up.
    fn needs(_needs: &mut Needs) {}

    /// The condition `when`.
    fn accepts(_input: &Self::Input) -> bool {
        true
    }

    /// Calls the function.
    fn call(taken: Self::Taken) -> impl Future<Output = HandlerResult> + Send;
}

/// What a subscriber listens to, as it is known while compiling.
#[derive(Debug, Clone, Copy)]
pub struct StaticTopic(TopicText);

#[derive(Debug, Clone, Copy)]
enum TopicText {
    Event(&'static str),
    Pattern(&'static str),
}

impl StaticTopic {
    /// Events of type `E`.
    pub const fn event<E: Event>() -> Self {
        Self(TopicText::Event(E::NAME))
    }

    /// Events whose names match a pattern that the macro has checked.
    pub const fn pattern(pattern: &'static str) -> Self {
        Self(TopicText::Pattern(pattern))
    }

    pub(crate) fn is_pattern(&self) -> bool {
        matches!(self.0, TopicText::Pattern(_))
    }

    pub(crate) fn to_topic(self) -> Topic {
        match self.0 {
            TopicText::Event(name) => Topic::Event(EventName::from_static(name)),
            TopicText::Pattern(pattern) => Topic::Pattern(
                Pattern::parse(pattern).expect("the macro accepts valid patterns only"),
            ),
        }
    }
}

impl fmt::Display for StaticTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TopicText::Event(text) | TopicText::Pattern(text) => f.write_str(text),
        }
    }
}

/// The options of a subscriber that say how its deliveries are treated. Known while compiling, so that what is not
/// asked for is not compiled in.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub(crate) durable: bool,
    pub(crate) broadcast: bool,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) concurrency: usize,
    pub(crate) ordered: bool,
    pub(crate) idempotent: bool,
    pub(crate) batch: Option<Batch>,
}

/// How many events are handled together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    /// At most.
    pub(crate) max: usize,
    /// How long the first one waits for more.
    pub(crate) wait: Duration,
}

impl Options {
    /// All options off.
    #[expect(clippy::new_without_default, reason = "made by the macro, in constants alone")]
    pub const fn new() -> Self {
        Self {
            durable: false,
            broadcast: false,
            retry: None,
            timeout: None,
            concurrency: 1,
            ordered: false,
            idempotent: false,
            batch: None,
        }
    }

    /// Refuses to start without at-least-once delivery.
    #[must_use]
    pub const fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Gets every event in every process.
    #[must_use]
    pub const fn broadcast(mut self) -> Self {
        self.broadcast = true;
        self
    }

    /// Tries again what failed.
    #[must_use]
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Ends each attempt after that time; it counts as failed.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Handles so many events at a time.
    #[must_use]
    pub const fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers;
        self
    }

    /// Keeps the events of one key in order.
    #[must_use]
    pub const fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Skips an event that it has handled before.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Handles up to so many events together, of which the first waits so long for more.
    #[must_use]
    pub const fn batch(mut self, max: usize, wait: Duration) -> Self {
        self.batch = Some(Batch { max, wait });
        self
    }

    /// How many deliveries are handled at a time.
    pub(crate) const fn deliveries_at_a_time(&self) -> usize {
        match self.batch {
            None => self.concurrency,
            Some(Batch { max, .. }) => self.concurrency.saturating_mul(max),
        }
    }
}

/// The link-time entry of a `#[subscribe]` function.
pub struct SubscriberEntry {
    pub(crate) id: &'static str,
    pub(crate) path: &'static str,
    pub(crate) location: Location,
    pub(crate) bus: &'static str,
    pub(crate) topic: StaticTopic,
    pub(crate) options: Options,
    pub(crate) needs: fn(&mut Needs),
    run: RunFn,
}

/// Serves a subscription to its end.
type RunFn = fn(Box<dyn Consumer>, Arc<SubscriptionInfo>) -> BoxFuture<'static, ()>;

inventory::collect!(SubscriberEntry);

impl SubscriberEntry {
    /// The entry of `S`, as the macro submits it.
    pub const fn of<S: Subscriber<Taken = <S as Subscriber>::Input>>() -> Self {
        Self::new::<S>(|consumer, info| dispatch::run(Linked::<S>(PhantomData), consumer, info))
    }

    /// The entry of `S`, which takes batches.
    pub const fn of_batches<S: Subscriber<Taken = Vec<<S as Subscriber>::Input>>>() -> Self {
        Self::new::<S>(|consumer, info| {
            let batch = S::OPTIONS.batch.expect("the macro writes the two together");
            Box::pin(dispatch::run_batches(Linked::<S>(PhantomData), batch, consumer, info))
        })
    }

    const fn new<S: Subscriber>(run: RunFn) -> Self {
        Self {
            id: S::ID,
            path: S::PATH,
            location: S::LOCATION,
            bus: S::BUS,
            topic: S::TOPIC,
            options: S::OPTIONS,
            needs: S::needs,
            run,
        }
    }

    /// All subscribers that are linked into the program, by id.
    pub(crate) fn all() -> Vec<&'static Self> {
        let mut all: Vec<_> = inventory::iter::<Self>.into_iter().collect();
        all.sort_unstable_by_key(|entry| (entry.id, entry.location));
        all
    }

    /// The loop that serves the subscriber until its consumer ends.
    pub(crate) fn run(
        &self,
        consumer: Box<dyn Consumer>,
        info: Arc<SubscriptionInfo>,
    ) -> BoxFuture<'static, ()> {
        (self.run)(consumer, info)
    }
}

impl fmt::Debug for SubscriberEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriberEntry")
            .field("id", &self.id)
            .field("topic", &self.topic)
            .field("bus", &self.bus)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// A subscriber known at link time, as the handler of a dispatch loop.
struct Linked<S>(PhantomData<S>);

impl<S: Subscriber<Taken = <S as Subscriber>::Input>> Handler for Linked<S> {
    const OPTIONS: Options = S::OPTIONS;

    type Input = S::Input;

    fn accepts(&self, input: &S::Input) -> bool {
        S::accepts(input)
    }

    fn call(&self, input: S::Input) -> impl Future<Output = HandlerResult> + Send {
        S::call(input)
    }
}

impl<S: Subscriber<Taken = Vec<<S as Subscriber>::Input>>> BatchHandler for Linked<S> {
    const OPTIONS: Options = S::OPTIONS;

    type Input = S::Input;

    fn accepts(&self, input: &S::Input) -> bool {
        S::accepts(input)
    }

    fn call(&self, inputs: Vec<S::Input>) -> impl Future<Output = HandlerResult> + Send {
        S::call(inputs)
    }
}
