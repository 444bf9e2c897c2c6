//! What has been sent and not confirmed.
//!
//! The client library hands a returned message (`basic.return`) over with the next confirm, whichever that is. Where it
//! matters which message had no route, each carries its number as a mark, and one that was confirmed is only believed
//! when no return can be on its way any more:
//!
//! - The broker returns messages in the order in which they were sent, each before its own confirm, and the library hands
//!   out one return with each confirm, the oldest first. So when all messages up to a number are confirmed, all returns
//!   up to it have been handed out, by confirms that are there.
//! - One that waits for a confirm has a route, and may wait for long. Those behind it do not wait with it: the broker
//!   confirms what has no route at once.

use std::{
    collections::{BTreeMap, HashSet},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::{Stream as _, StreamExt as _, stream::FuturesUnordered};
use lapin::{
    Channel, Confirmation,
    message::BasicReturnMessage,
    options::BasicPublishOptions,
    types::{AMQPValue, ShortString},
};
use tokio::time::{Instant, sleep_until};

use super::{super::message, Message, Request};
use crate::maybe_ready::BoxFuture;

/// The header with a message's number.
const NUMBER: &str = "aury-number";

/// How much later a confirm is believed than it came, while one before it is missing.
const GRACE: Duration = Duration::from_millis(100);

type Confirmed = (u64, lapin::Result<Confirmation>);

/// The messages that were sent by one channel and are not answered.
pub(super) struct InFlight {
    /// Whether it matters which message had no route.
    is_exact: bool,
    confirms: FuturesUnordered<BoxFuture<'static, Confirmed>>,
    /// By their numbers.
    unconfirmed: BTreeMap<u64, Request>,
    /// Confirmed, and not believed yet.
    confirmed: BTreeMap<u64, (Request, Answer, Instant)>,
    /// The numbers of those that came back.
    returned: HashSet<u64>,
    sent: u64,
    woken: Arc<Woken>,
}

/// What the broker said of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    NoRoute,
    /// `basic.nack`.
    NotTaken,
}

/// What the broker has said since it was asked last.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) answers: Vec<(Request, Answer)>,
    /// The names of messages without a route, where it does not matter which they were.
    pub(super) unrouted: Vec<ShortString>,
    /// Why the channel is lost.
    pub(super) errors: Vec<lapin::Error>,
}

impl InFlight {
    pub(super) fn new(is_exact: bool) -> Self {
        Self {
            is_exact,
            confirms: FuturesUnordered::new(),
            unconfirmed: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            returned: HashSet::new(),
            sent: 0,
            woken: Arc::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.unconfirmed.len() + self.confirmed.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unconfirmed.is_empty() && self.confirmed.is_empty()
    }

    /// Whether the broker has nothing more to say.
    pub(super) fn is_over(&self) -> bool {
        self.confirms.is_empty()
    }

    /// Sends a message by a channel.
    pub(super) fn send(&mut self, channel: &Channel, request: Request, mandatory: bool) {
        self.sent += 1;
        let number = self.sent;
        let mark = self.is_exact.then_some(number);
        let (channel, message) = (channel.clone(), Arc::clone(&request.message));
        self.unconfirmed.insert(number, request);
        self.confirms.push(Box::pin(async move {
            (number, publish(&channel, &message, mandatory, mark).await)
        }));
    }

    /// Waits for the broker; for ever, when there is nothing to wait for. Cancel safe.
    pub(super) async fn next(&mut self) -> Answers {
        let mut answers = Answers::default();
        let believed = self.confirmed.values().map(|(_, _, since)| *since).min();
        let due = believed.map(|since| since + GRACE);
        tokio::select! {
            confirmed = self.confirms.next(), if !self.confirms.is_empty() => {
                if let Some(confirmed) = confirmed {
                    self.note(confirmed, &mut answers);
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            else => std::future::pending().await,
        }
        self.drain(&mut answers);
        if self.is_exact {
            let complete = self.unconfirmed.keys().next().copied().unwrap_or(u64::MAX);
            // The returns up to there are with confirms that have come by now.
            self.drain(&mut answers);
            self.believe(complete, &mut answers);
        }
        answers
    }

    /// Takes note of all confirms that have come.
    fn drain(&mut self, answers: &mut Answers) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        loop {
            self.woken.0.store(false, SeqCst);
            match Pin::new(&mut self.confirms).poll_next(&mut context) {
                Poll::Ready(Some(confirmed)) => self.note(confirmed, answers),
                Poll::Ready(None) => return,
                // It stops now and then, to let others have the thread.
                Poll::Pending if self.woken.0.load(SeqCst) => {}
                Poll::Pending => return,
            }
        }
    }

    fn note(&mut self, (number, outcome): Confirmed, answers: &mut Answers) {
        let (answer, returned) = match outcome {
            Ok(Confirmation::Ack(returned)) => (Answer::Taken, returned),
            Ok(Confirmation::Nack(returned)) => (Answer::NotTaken, returned),
            Ok(Confirmation::NotRequested) => (Answer::NotTaken, None),
            Err(error) => {
                answers.errors.push(error);
                return;
            }
        };
        if let Some(returned) = returned {
            self.note_returned(returned, answers);
        }
        let Some(request) = self.unconfirmed.remove(&number) else { return };
        if self.is_exact {
            self.confirmed.insert(number, (request, answer, Instant::now()));
        } else {
            answers.answers.push((request, answer));
        }
    }

    fn note_returned(&mut self, returned: BasicReturnMessage, answers: &mut Answers) {
        let delivery = returned.delivery;
        if !self.is_exact {
            answers.unrouted.push(delivery.routing_key);
            return;
        }
        let headers = delivery.properties.headers().as_ref();
        let number = headers.and_then(|headers| message::number(headers, NUMBER));
        self.returned.extend(number.and_then(|number| u64::try_from(number).ok()));
    }

    /// Answers for what was confirmed before that number, or is confirmed for long enough.
    fn believe(&mut self, complete: u64, answers: &mut Answers) {
        let now = Instant::now();
        let (believed, others): (BTreeMap<_, _>, _) = std::mem::take(&mut self.confirmed)
            .into_iter()
            .partition(|(number, (_, _, since))| *number < complete || now >= *since + GRACE);
        self.confirmed = others;
        for (number, (request, answer, _)) in believed {
            let answer = if self.returned.remove(&number) { Answer::NoRoute } else { answer };
            answers.answers.push((request, answer));
        }
    }

    /// What is not answered and never will be, since the channel is lost, in the order in which it was sent.
    pub(super) fn into_lost(mut self) -> Vec<Request> {
        let late = self.confirmed.into_iter().map(|(number, (request, ..))| (number, request));
        self.unconfirmed.extend(late);
        self.unconfirmed.into_values().collect()
    }

    /// Forgets the messages whose publishers have stopped waiting.
    pub(super) fn forget_the_impatient(&mut self) {
        self.unconfirmed.retain(|_, request| !request.reply.is_closed());
    }
}

/// Whether a waker was used.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

async fn publish(
    channel: &Channel,
    message: &Message,
    mandatory: bool,
    mark: Option<u64>,
) -> lapin::Result<Confirmation> {
    let Message { exchange, routing_key, properties, body, .. } = message;
    let mut properties = properties.clone();
    if let Some(number) = mark {
        let mut headers = properties.headers().clone().unwrap_or_default();
        headers.insert(NUMBER.into(), AMQPValue::LongLongInt(number as i64));
        properties = properties.with_headers(headers);
    }
    let options = BasicPublishOptions { mandatory, ..Default::default() };
    let publishing =
        channel.basic_publish(exchange.clone(), routing_key.clone(), options, body, properties);
    publishing.await?.await
}
