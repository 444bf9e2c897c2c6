//! The tasks that publish: one with many messages under way, and one with a single one.

use std::{collections::VecDeque, error::Error, sync::Arc, time::Duration};

use lapin::{Channel, options::ConfirmSelectOptions};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep, sleep_until, timeout},
};

use super::{
    super::{
        declare::{DeclareError, answered},
        link::{Link, channel},
        message::Message,
        topology::Topology,
    },
    Manner, Request,
    in_flight::{Answer, Answers, InFlight},
    refusals::{Closed, Refusal, Refusals},
};
use crate::{
    config::Unroutable,
    error::BackendError,
    kit::{Backoff, NobodyListens, OnceAMinute},
};

/// How long a broker that takes messages may leave all of them unconfirmed, before they are sent again by another
/// connection.
const STANDSTILL: Duration = Duration::from_secs(8);

/// How often a message may be under way when the broker closes the connection over what it found wrong with some
/// message, before it is held to be that one. It went alone all but the first time.
const CLOSURES: u8 = 3;

/// How long after a lost connection a refusal may mean that a queue lost its leader with the same node, and takes nothing
/// until another one is elected. Such a message is sent once more.
const SHAKEN: Duration = Duration::from_secs(10);

/// How long an election may take.
const ELECTION: Duration = Duration::from_secs(1);

/// How long a worn channel waits for the broker's last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Which task it is.
pub(super) enum Lane {
    /// It publishes what is hardly refused.
    Main { suspects: mpsc::Sender<Request> },
    /// It publishes one message at a time, so that a refusal is about that one and hits nothing else.
    Careful,
}

/// A task that publishes.
pub(crate) struct Outbox {
    link: Arc<Link>,
    topology: Arc<Topology>,
    manner: Manner,
    lane: Lane,
    requests: mpsc::Receiver<Request>,
    /// What was sent and not confirmed when its channel was lost, in order.
    again: VecDeque<Request>,
    refusals: Arc<Refusals>,
    /// Whether the exchange is to be declared with the next channel.
    declares: bool,
    /// When the connection was lost last.
    lost_at: Option<Instant>,
    /// When the channel was replaced last since a message was refused.
    worn_at: Option<Instant>,
    /// The names of the events that nobody listens to, as far as that has been said.
    unrouted: NobodyListens,
    /// The names of the events whose refusal has been said lately.
    refused: OnceAMinute,
}

/// Why a channel is not used any more.
enum Broken {
    /// The broker or the connection has ended it.
    Closed(Closed),
    /// It stands still.
    Standstill,
    /// It is replaced, since the broker did not take a message by it.
    Worn(Wear),
    /// The bus has been shut down.
    Shutdown,
}

/// Why a channel is replaced.
///
/// RabbitMQ (seen on 3.10.8) goes on refusing what a channel publishes to a queue that had no leader when the channel
/// published to it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wear {
    /// A message was refused.
    Refused,
    /// It is sent again, once a leader may have been elected.
    Again,
}

impl Outbox {
    pub(super) fn new(
        link: Arc<Link>,
        topology: Arc<Topology>,
        manner: Manner,
        lane: Lane,
        requests: mpsc::Receiver<Request>,
        refusals: Arc<Refusals>,
    ) -> Self {
        Self {
            link,
            topology,
            manner,
            lane,
            requests,
            again: VecDeque::new(),
            refusals,
            declares: manner.are_events,
            lost_at: None,
            worn_at: None,
            unrouted: NobodyListens::new(manner.unroutable),
            refused: OnceAMinute::default(),
        }
    }

    fn is_careful(&self) -> bool {
        matches!(self.lane, Lane::Careful)
    }

    fn is_shaken(&self) -> bool {
        self.lost_at.is_some_and(|at| at.elapsed() < SHAKEN)
    }

    fn window(&self) -> usize {
        if self.is_careful() { 1 } else { self.manner.window }
    }

    /// Publishes until there is nobody left who could ask for it, or the link is closed.
    pub(crate) async fn run(&mut self) {
        let mut backoff = Backoff::new();
        loop {
            // Most never need the second channel.
            if self.is_careful() && self.again.is_empty() {
                match self.requests.recv().await {
                    Some(request) => self.again.push_back(request),
                    None => return,
                }
            }
            let channel = match self.open().await {
                Ok(channel) => channel,
                Err(DeclareError::Final(error)) if error.is_closed() => return,
                Err(DeclareError::Final(error)) => {
                    self.refuse_all(&error).await;
                    continue;
                }
                Err(DeclareError::Passing(error)) => {
                    if error.is_timeout() {
                        self.link.abandon("the broker does not answer on it");
                    }
                    tracing::debug!(error = &error as &dyn Error, "cannot publish at the moment");
                    self.again.retain(|request| !request.reply.is_closed());
                    sleep(backoff.next_wait()).await;
                    continue;
                }
            };
            let (lost, broken) = self.serve(&channel).await;
            match broken {
                None | Some(Broken::Shutdown) => return,
                Some(Broken::Standstill) => {
                    self.link.abandon("the broker does not answer on it");
                    self.repeat(lost);
                }
                Some(Broken::Worn(wear)) => {
                    self.repeat(lost);
                    // In order; it is as good as gone if the broker does not answer.
                    let closing = channel.close(200, "replaced".into());
                    let _ = timeout(LAST_ANSWERS, closing).await;
                    if wear == Wear::Again {
                        sleep(ELECTION).await;
                    }
                    continue;
                }
                Some(Broken::Closed(closed)) => {
                    if self.judge(closed, lost) {
                        backoff = Backoff::new();
                        continue;
                    }
                }
            }
            sleep(backoff.next_wait()).await;
        }
    }

    /// Opens a channel with confirms, and sees to it that the exchange is there.
    async fn open(&mut self) -> Result<Channel, DeclareError> {
        self.link.ready().await?;
        let opening = async {
            if self.declares {
                self.topology.declare_exchange(&self.link).await?;
            }
            let channel = channel(&self.link).await?;
            let confirms = channel.confirm_select(ConfirmSelectOptions::default()).await;
            confirms.map_err(|error| BackendError::other("ask for confirms", error))?;
            Ok(channel)
        };
        let channel = answered("open a channel to publish", opening).await?;
        self.declares = self.manner.are_events;
        Ok(channel)
    }

    /// Publishes by a channel until it is broken, and gives what it has lost. Not broken, nobody is left who could ask
    /// for more.
    async fn serve(&mut self, channel: &Channel) -> (Vec<Request>, Option<Broken>) {
        let mut flight = InFlight::new(self.manner.unroutable == Unroutable::Error);
        let mandatory = self.manner.unroutable != Unroutable::Ignore;
        let mut errors = Vec::new();
        let (mut looks, mut progress) = (interval(STANDSTILL / 4), Instant::now());
        let mut worn: Option<(Wear, Instant)> = None;
        while errors.is_empty() || !flight.is_over() {
            let is_blocked = !self.link.is_up();
            if let Some((wear, _)) = worn
                && flight.is_empty()
            {
                return (Vec::new(), Some(Broken::Worn(wear)));
            }
            let is_sound = errors.is_empty() && worn.is_none();
            let may_send = is_sound && !is_blocked && flight.len() < self.window();
            tokio::select! {
                biased;
                answers = flight.next() => {
                    progress = Instant::now();
                    let Answers { answers, unrouted, errors: more } = answers;
                    for (request, answer) in answers {
                        if let Some(wear) = self.answer(request, answer) {
                            let (known, until) = worn.unwrap_or((wear, progress + LAST_ANSWERS));
                            worn = Some((known.max(wear), until));
                        }
                    }
                    for name in unrouted {
                        // Where it is an error, its publisher has been told.
                        let why = "no queue is bound for it on RabbitMQ: nobody has subscribed to it yet, or its \
                                   queues are gone";
                        let _ = self.unrouted.note(name.as_str(), why);
                    }
                    errors.extend(more);
                }
                request = next(&mut self.again, &mut self.requests), if may_send => {
                    let Some(request) = request else { return (Vec::new(), None) };
                    let Some(request) = self.prepare(request).await else { continue };
                    if flight.is_empty() {
                        progress = Instant::now();
                    }
                    flight.send(channel, request, mandatory);
                }
                ready = self.link.ready(), if is_blocked && errors.is_empty() => {
                    progress = Instant::now();
                    if ready.is_err() {
                        return (flight.into_lost(), Some(Broken::Shutdown));
                    }
                }
                () = sleep_until(worn.map_or(progress, |(_, until)| until)), if worn.is_some() => {
                    let wear = worn.map_or(Wear::Refused, |(wear, _)| wear);
                    return (flight.into_lost(), Some(Broken::Worn(wear)));
                }
                _ = looks.tick(), if !flight.is_empty() && !is_blocked => {
                    flight.forget_the_impatient();
                    if progress.elapsed() > STANDSTILL {
                        return (flight.into_lost(), Some(Broken::Standstill));
                    }
                }
            }
        }
        (flight.into_lost(), Some(Broken::Closed(Closed::by(&errors))))
    }

    /// Sees to it that a message can be sent by this task now. `None` when it is not to be, and has been seen to.
    async fn prepare(&mut self, request: Request) -> Option<Request> {
        if request.reply.is_closed() {
            return None;
        }
        if !self.is_careful() && self.refusals.is_suspect(&request.message) {
            self.be_careful(request);
            return None;
        }
        if let Some(needed) = &request.message.needs
            && !self.topology.is_provided(needed)
        {
            let providing = self.topology.provide(&self.link, needed);
            if let Err(error) = answered("declare a queue", providing).await {
                request.answer(Err(error.into_inner()));
                return None;
            }
        }
        Some(request)
    }

    /// Tells what the broker said of a message. Gives whether the channel is to be replaced.
    fn answer(&mut self, mut request: Request, answer: Answer) -> Option<Wear> {
        let message = Arc::clone(&request.message);
        match answer {
            Answer::Taken => {
                if self.is_careful() {
                    self.refusals.note_taken(&message);
                }
                request.answer(Ok(()));
            }
            Answer::NotTaken if self.is_shaken() && !request.was_refused => {
                request.was_refused = true;
                self.again.push_back(request);
                return Some(Wear::Again);
            }
            Answer::NotTaken => {
                self.refuse(request, not_taken(&message));
                // Not in a tight loop.
                let now = Instant::now();
                if self.worn_at.is_none_or(|at| now > at + ELECTION) {
                    self.worn_at = Some(now);
                    return Some(Wear::Refused);
                }
            }
            Answer::NoRoute => match &message.needs {
                // Somebody has deleted its queue, or nobody has declared it yet.
                Some(needed) if !request.was_provided => {
                    self.topology.forget(needed);
                    request.was_provided = true;
                    self.again.push_back(request);
                }
                _ => request.answer(Err(no_route(&message))),
            },
        }
        None
    }

    /// Fails a message that the broker has refused.
    fn refuse(&mut self, request: Request, error: BackendError) {
        let name = request.message.name();
        if self.refused.is_due(name.as_str()) {
            let Message { exchange, routing_key, .. } = &*request.message;
            tracing::warn!(event = %name, %exchange, %routing_key, %error, "RabbitMQ did not take a message");
        }
        request.answer(Err(error));
    }

    /// Fails all that wait, since they never can be published, as things stand.
    async fn refuse_all(&mut self, error: &BackendError) {
        if self.again.is_empty()
            && let Some(request) = self.requests.recv().await
        {
            self.again.push_back(request);
        }
        while let Ok(request) = self.requests.try_recv() {
            self.again.push_back(request);
        }
        for request in std::mem::take(&mut self.again) {
            let what = format!("RabbitMQ refused {}", request.message.name());
            let error = BackendError::refused(what, crate::error::WithCauses(error).to_string());
            self.refuse(request, error);
        }
    }

    /// Finds out whose fault the loss of a channel was. Gives whether it was a message's, and not the connection's.
    fn judge(&mut self, closed: Closed, lost: Vec<Request>) -> bool {
        match closed {
            Closed::Lost(why) => {
                tracing::debug!(why, "lost a channel to publish");
                self.lost_at = Some(Instant::now());
                self.repeat(lost);
                false
            }
            Closed::Wrong(said) => {
                for mut request in lost {
                    request.closures += 1;
                    if request.closures >= CLOSURES {
                        let what = format!("RabbitMQ refused {}", request.message.name());
                        self.refuse(request, BackendError::refused(what, &*said));
                    } else {
                        self.be_careful(request);
                    }
                }
                false
            }
            Closed::Refused(refusal) => {
                self.judge_refusal(&refusal, lost);
                true
            }
        }
    }

    fn judge_refusal(&mut self, refusal: &Refusal, lost: Vec<Request>) {
        if refusal.is_missing() {
            self.declares = true;
            let (gone, others): (Vec<_>, Vec<_>) =
                lost.into_iter().partition(|request| request.closures > 0);
            for request in gone {
                let error = refusal.error(&request.message);
                self.refuse(request, error);
            }
            self.repeat(others.into_iter().map(|mut request| {
                request.closures += 1;
                request
            }));
            return;
        }
        if self.is_careful() {
            for request in lost {
                self.refusals.learn(refusal, &request.message);
                let error = refusal.error(&request.message);
                self.refuse(request, error);
            }
            return;
        }
        let Some(culprits) = self.refusals.culprits(refusal, lost.iter().map(|it| &*it.message))
        else {
            lost.into_iter().for_each(|request| self.be_careful(request));
            return;
        };
        let mut innocents = Vec::new();
        for (request, is_culprit) in lost.into_iter().zip(culprits) {
            if is_culprit {
                let error = refusal.error(&request.message);
                self.refuse(request, error);
            } else {
                innocents.push(request);
            }
        }
        self.repeat(innocents);
    }

    /// Sends messages again, before what was to be sent again and has not been.
    fn repeat(&mut self, lost: impl IntoIterator<Item = Request, IntoIter: DoubleEndedIterator>) {
        for request in lost.into_iter().rev() {
            self.again.push_front(request);
        }
    }

    /// Has a message sent alone.
    fn be_careful(&mut self, request: Request) {
        let Lane::Main { suspects } = &self.lane else {
            self.again.push_back(request);
            return;
        };
        if let Err(error) = suspects.try_send(request) {
            let request = error.into_inner();
            let what = format!("RabbitMQ refused {}", request.message.name());
            let said =
                "one like it was refused, and many such wait to be tried again, one at a time";
            self.refuse(request, BackendError::refused(what, said));
        }
    }
}

fn not_taken(message: &Message) -> BackendError {
    let Message { exchange, routing_key, .. } = message;
    let said = if exchange.as_str().is_empty() {
        format!(
            "the queue {routing_key} is full and rejects messages, or its node is in trouble (basic.nack)"
        )
    } else {
        format!(
            "a queue that is bound for it on {exchange} is full and rejects messages, or its node is in trouble \
             (basic.nack)"
        )
    };
    BackendError::refused(format!("RabbitMQ refused {}", message.name()), said)
}

fn no_route(message: &Message) -> BackendError {
    let Message { exchange, routing_key, .. } = message;
    let said = if exchange.as_str().is_empty() {
        format!("there is no queue {routing_key} (NO_ROUTE)")
    } else {
        format!(
            "no queue is bound for it on the exchange {exchange}, and it was dropped (NO_ROUTE)"
        )
    };
    BackendError::unroutable(format!("RabbitMQ has no route for {}", message.name()), said)
}

/// The next message to send. `None` when nobody is left who could ask for more. Cancel safe.
async fn next(
    again: &mut VecDeque<Request>,
    requests: &mut mpsc::Receiver<Request>,
) -> Option<Request> {
    match again.pop_front() {
        Some(request) => Some(request),
        None => requests.recv().await,
    }
}
