//! One subscription, kept alive: channels, queues and consumers, made again whenever one of them is lost.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    acks::{Acks, LINGER},
    declare::{DeclareError, answered},
    inbox::{Inbox, Intake},
    link::{Link, channel},
    message::delivery_headers,
    mover::{Mover, Moving},
    session::{Lane, Session},
    suspects::{Suspects, Verdict},
    taking_in::TakingIn,
    topology::Topology,
};
use crate::{
    envelope::Topic,
    error::{BackendError, WithCauses},
    kit::Backoff,
    maybe_ready::BoxFuture,
};

/// The name of the one consumer of a channel.
const TAG: &str = "aury";

/// How many suspects are handled in one round, at most.
const ROUND: u32 = 64;

/// How many deliveries are taken in before other tasks have the thread.
const TURN: usize = 64;

/// How long a channel is given to close in order.
const GOODBYE: Duration = Duration::from_secs(1);

/// What keeps one subscription alive.
pub(super) struct Subscription {
    pub(super) link: Arc<Link>,
    pub(super) topology: Arc<Topology>,
    pub(super) mover: Arc<Mover>,
    pub(super) suspects: Suspects,
    pub(super) topic: Topic,
    pub(super) prefetch: u32,
    pub(super) inbox: Arc<Inbox>,
    pub(super) taking_in: TakingIn,
}

/// A subscription that runs: what stays when its task panics, and is made again.
pub(super) struct Running {
    subscription: Subscription,
    /// `None` while it is to be made live again.
    live: Option<Live>,
    moving: Moving,
    /// However it ends.
    _completion: Completion,
}

impl Running {
    pub(super) fn new(subscription: Subscription, live: Live, moving: Moving) -> Self {
        let completion = Completion(Arc::clone(&subscription.inbox));
        Self { subscription, live: Some(live), moving, _completion: completion }
    }

    /// Takes deliveries in until nobody wants more, by new channels when one is lost; and moves them elsewhere.
    pub(super) async fn run(&mut self) {
        let Self { subscription, live, moving, .. } = self;
        let over = Notify::new();
        let keeping = async {
            subscription.keep_alive(live).await;
            subscription.inbox.end();
            over.notify_one();
        };
        tokio::join!(keeping, moving.run(over.notified()));
    }

    /// The same after a panic: what the channels have brought comes again by new ones.
    pub(super) async fn run_again(&mut self) {
        if let Some(live) = self.live.take() {
            self.subscription.lose(&live, "its task panicked");
            close(live).await;
        }
        self.run().await;
    }
}

/// The channels by which deliveries come.
pub(super) struct Live {
    main: Stream,
    /// A queue of this process alone ends with it, so that nobody else is given what it held.
    suspects: Option<Stream>,
}

impl Live {
    fn streams(&self) -> impl Iterator<Item = &Stream> {
        std::iter::once(&self.main).chain(&self.suspects)
    }

    fn is_over(&self) -> bool {
        self.streams().all(|stream| !stream.is_open && stream.session.acks.is_over())
    }
}

/// A channel with its consumer.
struct Stream {
    session: Arc<Session>,
    consumer: Consumer,
    /// Whether the broker may send more.
    is_open: bool,
}

impl Stream {
    fn channel(&self) -> &Channel {
        self.session.acks.channel()
    }

    /// The next delivery. `None` when the broker has ended the consumer.
    async fn next(&mut self) -> Option<lapin::Result<Delivery>> {
        futures_util::StreamExt::next(&mut self.consumer).await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Also when the task ends with its bus: what was settled is on its way before the connection is closed.
        self.session.acks.flush();
    }
}

/// How a channel ended.
enum End {
    /// Nobody wants more from it.
    Done,
    /// It is lost, for that reason.
    Lost(String),
}

impl Subscription {
    /// Declares the queues and begins to consume: what is published when this is done reaches the subscriber.
    pub(super) async fn establish(&self) -> Result<Live, DeclareError> {
        self.link.ready().await?;
        let queue = &self.mover.queues.queue;
        let operation = format!(
            "consume from the queue {queue}, which no node may be serving: see `rabbitmqctl list_queues name state \
             leader online`, start its nodes again, or delete it"
        );
        answered(&operation, self.begin()).await
    }

    async fn begin(&self) -> Result<Live, DeclareError> {
        let queue = self.declare().await?;
        let main = self.consume(Lane::Main, queue, self.prefetch).await?;
        let suspects = if self.inbox.is_own() {
            None
        } else {
            let queue = self.mover.queues.suspects.clone();
            Some(self.consume(Lane::Suspects, queue, self.prefetch.min(ROUND)).await?)
        };
        self.suspects.show_life().await;
        self.inbox.begin(Arc::clone(&main.session));
        Ok(Live { main, suspects })
    }

    async fn consume(
        &self,
        lane: Lane,
        queue: ShortString,
        prefetch: u32,
    ) -> Result<Stream, DeclareError> {
        let channel = channel(&self.link).await?;
        let count = u16::try_from(prefetch).unwrap_or(u16::MAX);
        let qos = channel.basic_qos(count, BasicQosOptions::default()).await;
        qos.map_err(|error| self.passing("set the prefetch", error))?;
        // That a suspect is settled is told before the next round begins.
        let batch = if lane == Lane::Suspects { 1 } else { (prefetch as usize / 2).clamp(1, 1024) };
        let acks = Arc::new(Acks::new(channel.clone(), batch));
        let (inbox, mover) = (Arc::clone(&self.inbox), Arc::clone(&self.mover));
        let session = Arc::new(Session { acks, inbox, mover, queue: queue.clone(), lane });
        let options = BasicConsumeOptions::default();
        let consuming =
            channel.basic_consume(queue, TAG.into(), options, FieldTable::default()).await;
        let consumer = consuming.map_err(|error| self.passing("consume", error))?;
        Ok(Stream { session, consumer, is_open: true })
    }

    async fn declare(&self) -> Result<ShortString, DeclareError> {
        let Mover { queues, .. } = &*self.mover;
        if self.inbox.is_own() {
            let queue = queues.of_this_process().map_err(DeclareError::Final)?;
            self.topology.declare_own(&self.link, &queue, &self.topic).await?;
            return Ok(queue);
        }
        self.topology.declare_shared(&self.link, queues, &self.topic).await?;
        Ok(queues.queue.clone())
    }

    fn passing(&self, operation: &str, error: lapin::Error) -> DeclareError {
        let operation = format!("{operation} for {}", self.inbox.subscriber);
        DeclareError::Passing(BackendError::other(operation, error))
    }

    /// Keeps the channels alive until nobody wants more from them.
    async fn keep_alive(&self, channels: &mut Option<Live>) {
        loop {
            if channels.is_none() {
                *channels = self.restore().await;
                if channels.is_some() {
                    self.say_live_again();
                }
            }
            let Some(live) = channels else { return };
            let since = Instant::now();
            // What others send must not end a subscription, whatever it does to this code.
            let serving = AssertUnwindSafe(self.serve(live)).catch_unwind().await;
            let end = serving.unwrap_or_else(|_| End::Lost("its task panicked".to_owned()));
            if let End::Lost(why) = &end {
                self.lose(live, why);
            }
            if let Some(live) = channels.take() {
                close(live).await;
            }
            if let End::Done = end {
                return;
            }
            // A queue that is lost again and again is not declared in a tight loop.
            if since.elapsed() < Duration::from_secs(1) {
                sleep(Backoff::new().next_wait()).await;
            }
        }
    }

    fn say_live_again(&self) {
        tracing::info!(
            bus = &*self.mover.bus,
            subscriber = &*self.inbox.subscriber,
            queue = %self.mover.queues.queue,
            "the subscription is live again"
        );
    }

    fn lose(&self, live: &Live, why: &str) {
        for stream in live.streams() {
            self.inbox.lose(&stream.session);
        }
        self.inbox.interrupted(format!("the subscription was interrupted: {why}"));
        // That the connection is lost is said elsewhere.
        if self.link.is_up() {
            tracing::warn!(
                bus = &*self.mover.bus,
                subscriber = &*self.inbox.subscriber,
                queue = %self.mover.queues.queue,
                why,
                "a subscription was interrupted"
            );
        }
    }

    /// Makes the subscription live again. `None` when nobody wants it any more.
    async fn restore(&self) -> Option<Live> {
        let (mut backoff, mut said) = (Backoff::new(), None);
        let mut unwanted = pin!(self.inbox.intake_beyond(Intake::Open));
        loop {
            let error = tokio::select! {
                () = &mut unwanted => return None,
                live = self.establish() => match live {
                    Ok(live) => return Some(live),
                    Err(DeclareError::Final(error)) if error.is_closed() => return None,
                    Err(error) => error.into_inner(),
                }
            };
            let text = WithCauses(&error).to_string();
            if self.link.is_up() && said.as_ref() != Some(&text) {
                tracing::warn!(
                    bus = &*self.mover.bus,
                    subscriber = &*self.inbox.subscriber,
                    error = &error as &dyn std::error::Error,
                    "cannot make a subscription live again; trying"
                );
                self.inbox.interrupted(&*text);
                said = Some(text);
            }
            tokio::select! {
                () = &mut unwanted => return None,
                () = sleep(backoff.next_wait()) => {}
            }
        }
    }

    /// Takes in the deliveries of channels until one is lost, or until nobody wants more and all are settled.
    async fn serve(&self, live: &mut Live) -> End {
        let (inbox, taking_in) = (&*self.inbox, &self.taking_in);
        let acks = Arc::clone(&live.main.session.acks);
        let acks_of_suspects = live.suspects.as_ref().map(|it| Arc::clone(&it.session.acks));
        let mut stage = Intake::Open;
        let mut flush_at = None;
        let mut beginning: Option<Beginning<'_>> = None;
        loop {
            if stage > Intake::Open && live.is_over() || stage == Intake::Closed {
                drop(beginning);
                self.say_goodbye(live).await;
                return End::Done;
            }
            let due = flush_at.unwrap_or_else(Instant::now);
            let Live { main, suspects } = live;
            tokio::select! {
                delivery = main.next(), if main.is_open => {
                    let mut next = Some(delivery);
                    for _ in 0..TURN {
                        match next {
                            Some(Some(Ok(delivery))) => taking_in.take(&main.session, delivery),
                            Some(Some(Err(error))) => return End::Lost(error.to_string()),
                            Some(None) if stage > Intake::Open => {
                                main.is_open = false;
                                break;
                            }
                            Some(None) => return End::Lost(ended(&main.session.queue)),
                            None => break,
                        }
                        next = main.next().now_or_never();
                    }
                    if let Some(Some(Ok(delivery))) = next {
                        taking_in.take(&main.session, delivery);
                    }
                }
                Some(delivery) = next_of(suspects) => {
                    let stream = suspects.as_mut().expect("it has given something");
                    match delivery {
                        Some(Ok(delivery)) => taking_in.take(&stream.session, delivery),
                        Some(Err(error)) => return End::Lost(error.to_string()),
                        None if stage > Intake::Open => stream.is_open = false,
                        None => return End::Lost(ended(&stream.session.queue)),
                    }
                }
                () = inbox.intake_beyond(stage) => {
                    stage = inbox.intake();
                    for stream in live.streams() {
                        if stream.is_open && let Err(error) = self.cancel(stream.channel()).await {
                            return End::Lost(WithCauses(&error).to_string());
                        }
                    }
                }
                () = inbox.may_begin(), if beginning.is_none() => {
                    beginning = suspects.as_ref().and_then(|stream| self.begin_round(stream));
                }
                Some((tags, verdict)) = verdict_of(&mut beginning) => {
                    beginning = None;
                    match verdict {
                        Ok(Verdict::Begin(number)) => inbox.begun(&tags[..number]),
                        Ok(Verdict::Interrupted(times)) => {
                            let stream = suspects.as_ref().expect("it has given the suspect");
                            taking_in.condemn(&stream.session, tags[0], times);
                        }
                        Err(error) => return End::Lost(WithCauses(&error).to_string()),
                    }
                }
                () = acks.changed(), if flush_at.is_none() => {
                    flush_at = Some(Instant::now() + LINGER);
                }
                Some(()) = changed_of(acks_of_suspects.as_deref()) => {}
                () = sleep_until(due), if flush_at.is_some() => {
                    flush_at = None;
                    acks.flush();
                }
            }
            if live.streams().all(|stream| !stream.is_open) {
                inbox.complete();
            }
        }
    }

    /// Puts it on record that suspects begin that a channel has brought.
    fn begin_round(&self, stream: &Stream) -> Option<Beginning<'_>> {
        let acks = &stream.session.acks;
        let suspect = |tag| acks.message(tag).map(|it| (tag, delivery_headers(&it).suspect));
        let beginning = self.inbox.beginning()?.into_iter().filter_map(suspect);
        let (tags, suspects): (Vec<_>, Vec<_>) = beginning.unzip();
        Some(Box::pin(async move { (tags, self.suspects.begin(&suspects).await) }))
    }

    /// Tells the broker what was settled, and that this process ends in order.
    async fn say_goodbye(&self, live: &Live) {
        for stream in live.streams() {
            stream.session.acks.flush();
        }
        let Some(stream) = &live.suspects else { return };
        if stream.session.acks.are_all_done_with() {
            return;
        }
        let withdrawn = timeout(GOODBYE, self.suspects.withdraw()).await;
        if let Ok(Err(error)) = withdrawn {
            tracing::debug!(
                subscriber = &*self.inbox.subscriber,
                error = &error as &dyn std::error::Error,
                "could not take back that a suspect has begun here"
            );
        }
    }

    /// Asks for no more. What is on its way still comes, and then the end.
    async fn cancel(&self, channel: &Channel) -> Result<(), BackendError> {
        let cancelling = async {
            let cancelled = channel.basic_cancel(TAG.into(), BasicCancelOptions::default()).await;
            cancelled.map_err(|error| self.passing("cancel the consumer", error))
        };
        answered("cancel the consumer", cancelling).await.map_err(DeclareError::into_inner)
    }
}

/// It is being put on record that suspects begin, which have those numbers on their channel.
type Beginning<'a> = BoxFuture<'a, (Vec<u64>, Result<Verdict, BackendError>)>;

/// Waits for the next of something that there may be none of: never, then.
async fn next_of(stream: &mut Option<Stream>) -> Option<Option<lapin::Result<Delivery>>> {
    match stream {
        Some(stream) if stream.is_open => Some(stream.next().await),
        _ => None,
    }
}

async fn changed_of(acks: Option<&Acks>) -> Option<()> {
    acks?.changed().await;
    Some(())
}

async fn verdict_of(
    beginning: &mut Option<Beginning<'_>>,
) -> Option<(Vec<u64>, Result<Verdict, BackendError>)> {
    match beginning {
        Some(beginning) => Some(beginning.await),
        None => None,
    }
}

fn ended(queue: &ShortString) -> String {
    format!("the broker has ended the consumer of {queue}, as it does when a queue is deleted")
}

/// Closes the channels, in order if the broker answers soon: what was not settled goes back then.
async fn close(live: Live) {
    for stream in live.streams() {
        let channel = stream.channel();
        if channel.status().connected() {
            let _ = timeout(GOODBYE, channel.close(200, "done".into())).await;
        }
    }
}

/// Tells an inbox that its subscription has ended, when it is dropped.
struct Completion(Arc<Inbox>);

impl Drop for Completion {
    fn drop(&mut self) {
        self.0.end();
    }
}
