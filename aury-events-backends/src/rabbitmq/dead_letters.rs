//! Dead letters, in the queue `{queue}.dead` of each subscriber.
//!
//! A queue can only be read by taking messages from it. A reader takes what was there when it was opened, page by page,
//! and holds it until it ends: meanwhile no other reader sees it. What was not replayed or purged goes back then.
//!
//! Questions have a connection of their own, so that they disturb nobody, and each is answered within the publish
//! timeout. A page is bounded in letters and in bytes; of earlier pages no bodies are kept.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use lapin::{
    Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    protocol::AMQPSoftError,
    types::FieldTable,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    broker::{Broker, Connected},
    declare::soft_error,
    message::{self, DeadLetterHeaders, Message, Messages},
    names::{Names, Queues},
    publisher::Publisher,
    subscriptions::Subscriptions,
};
use crate::{
    dead_letters::{DeadLetter, DeadLetterReader, DeadLetterStore},
    envelope::{Envelope, EventName, Metadata, Payload},
    error::BackendError,
    kit::lock,
    maybe_ready::BoxFuture,
};

/// How many letters are read at a time.
const PAGE: usize = 256;

/// How many bytes of them, unless a single one is larger.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// How long letters that are given back may take to be there again.
const RETURN: Duration = Duration::from_millis(500);

/// The name of what is no event and did not come by the name of one.
const UNKNOWN: EventName = EventName::from_static("unknown");

/// Reads, replays and purges the dead letters of a bus's subscribers.
pub(super) struct DeadLetters {
    pub(super) service: Arc<str>,
    pub(super) names: Names,
    pub(super) messages: Messages,
    pub(super) broker: Broker,
    /// The connection for questions, as long as there are any.
    pub(super) connection: Mutex<Weak<Connected>>,
    /// How long an answer may take.
    pub(super) limit: Duration,
    pub(super) moves: Publisher,
    pub(super) subscriptions: Arc<Subscriptions>,
}

impl DeadLetters {
    pub(super) fn read(
        self: &Arc<Self>,
        subscribers: &[Arc<str>],
    ) -> Result<Box<dyn DeadLetterReader>, BackendError> {
        let queues = subscribers.iter().map(|subscriber| {
            let queues = self.names.queues(&self.service, subscriber)?;
            Ok((Arc::clone(subscriber), queues))
        });
        let queues = queues.collect::<Result<_, BackendError>>()?;
        Ok(Box::new(Reader { letters: Arc::clone(self), queues, open: None }))
    }

    /// The connection for questions, made anew if there is none.
    async fn connect(&self) -> Result<Arc<Connected>, BackendError> {
        let known = lock(&self.connection).upgrade();
        if let Some(known) = known.filter(|known| known.connection.status().connected()) {
            return Ok(known);
        }
        let opened = self.broker.open("questions").await;
        let opened = Arc::new(opened.map_err(|error| {
            let address = self.broker.address();
            BackendError::not_connected(
                format!("connect to RabbitMQ at {address}"),
                Some(error.into()),
            )
        })?);
        *lock(&self.connection) = Arc::downgrade(&opened);
        Ok(opened)
    }

    /// Waits for an answer, no longer than it may take.
    async fn in_time<T>(
        &self,
        operation: &str,
        asking: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let answer = timeout(self.limit, asking).await;
        answer.unwrap_or_else(|_| Err(BackendError::timed_out(operation, self.limit)))
    }

    /// Opens a queue of dead letters. `None` if there is none.
    async fn open(&self, queues: &Queues) -> Result<Option<Open>, BackendError> {
        let operation = || format!("read the dead letters in {}", queues.dead);
        let connection = self.connect().await?;
        let opened = connection.connection.create_channel().await;
        let channel = opened.map_err(|error| BackendError::other(operation(), error))?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared =
            channel.queue_declare(queues.dead.clone(), passive, FieldTable::default()).await;
        match declared {
            Ok(queue) => {
                let left = queue.message_count() as usize;
                let queues = queues.clone();
                let held =
                    Held { channel, queues, letters: Mutex::default(), _connection: connection };
                Ok(Some(Open { held: Arc::new(held), left }))
            }
            Err(error) if soft_error(&error) == Some(AMQPSoftError::NOTFOUND) => Ok(None),
            Err(error) => Err(BackendError::other(operation(), error)),
        }
    }

    /// The letter that a message is.
    fn letter(&self, subscriber: &Arc<str>, message: &Delivery) -> DeadLetter {
        let DeadLetterHeaders { reason, attempts, time } = message::dead_letter_headers(message);
        let envelope = self.messages.read(message).unwrap_or_else(|_| {
            let name = EventName::parse(message.routing_key.as_str()).unwrap_or(UNKNOWN);
            let raw: Arc<[u8]> = message.data.as_slice().into();
            Envelope::new(Metadata::new(name, 1, "", None), Payload::Json(raw))
        });
        // Whose queue it is in, and not who it says that it is for: anybody can write that.
        DeadLetter::recorded(envelope, Arc::clone(subscriber), reason, attempts, time)
    }

    /// Sends a letter's message to its subscriber.
    async fn send_back(
        &self,
        subscriber: &Arc<str>,
        queues: &Queues,
        message: Message,
    ) -> Result<(), BackendError> {
        let own = self.subscriptions.own_queue(subscriber);
        let queue = own.unwrap_or_else(|| queues.queue.clone());
        match self.moves.publish(message.for_queue(&queue)).await {
            Err(error) if error.is_unroutable() => {
                Err(BackendError::not_subscribed(Arc::clone(subscriber)))
            }
            outcome => outcome,
        }
    }
}

/// A queue of dead letters that is being read.
struct Open {
    held: Arc<Held>,
    /// How many letters are yet to be read.
    left: usize,
}

/// What was taken from a queue of dead letters. What is left when it is dropped goes back.
struct Held {
    channel: Channel,
    queues: Queues,
    /// By their tokens.
    letters: Mutex<HashMap<Arc<str>, Taken>>,
    _connection: Arc<Connected>,
}

/// A letter that was taken from its queue.
struct Taken {
    tag: u64,
    /// `None` when it would be too much to keep.
    message: Option<Box<Delivery>>,
}

impl Held {
    fn letters(&self) -> MutexGuard<'_, HashMap<Arc<str>, Taken>> {
        lock(&self.letters)
    }

    fn keep(&self, token: Arc<str>, message: Delivery) {
        let taken = Taken { tag: message.delivery_tag, message: Some(Box::new(message)) };
        self.letters().insert(token, taken);
    }

    /// Keeps no bodies any more.
    fn forget_bodies(&self) {
        self.letters().values_mut().for_each(|taken| taken.message = None);
    }

    async fn return_one(&self, tag: u64) -> Result<(), BackendError> {
        let options = BasicNackOptions { multiple: false, requeue: true };
        let returned = self.channel.basic_nack(tag, options).await;
        returned.map_err(|error| BackendError::other("return a dead letter", error))
    }

    async fn get(&self) -> Result<Option<Delivery>, BackendError> {
        let dead = &self.queues.dead;
        let got = self.channel.basic_get(dead.clone(), BasicGetOptions::default()).await;
        let got = got.map_err(|error| {
            BackendError::other(format!("read the dead letters in {dead}"), error)
        })?;
        Ok(got.map(|message| message.delivery))
    }

    async fn remove(&self, tag: u64) -> Result<(), BackendError> {
        let acked = self.channel.basic_ack(tag, BasicAckOptions::default()).await;
        acked.map_err(|error| {
            let dead = &self.queues.dead;
            BackendError::other(format!("remove a dead letter from {dead}"), error)
        })?;
        self.count().await.map(drop)
    }

    /// Gives back what was not removed, and waits until it is there again.
    async fn give_back(&self) -> Result<(), BackendError> {
        let left: Vec<_> = self.letters().drain().map(|(_, taken)| taken.tag).collect();
        for tag in &left {
            self.return_one(*tag).await?;
        }
        // A quorum queue takes them back in its own time. Somebody else may take them meanwhile.
        let deadline = Instant::now() + RETURN;
        while self.count().await? < left.len() && Instant::now() < deadline {
            sleep(RETURN / 100).await;
        }
        Ok(())
    }

    /// How many messages nobody holds. Acknowledgements are not answered; this is, after them.
    async fn count(&self) -> Result<usize, BackendError> {
        let dead = &self.queues.dead;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let seen = self.channel.queue_declare(dead.clone(), passive, FieldTable::default()).await;
        let seen = seen.map_err(|error| BackendError::other(format!("look at {dead}"), error))?;
        Ok(seen.message_count() as usize)
    }
}

struct Reader {
    letters: Arc<DeadLetters>,
    /// The queues that are yet to be read.
    queues: VecDeque<(Arc<str>, Queues)>,
    open: Option<(Arc<str>, Open)>,
}

impl Reader {
    async fn read(&mut self) -> Result<Vec<DeadLetter>, BackendError> {
        loop {
            let (subscriber, open) = match &mut self.open {
                Some((subscriber, open)) => (subscriber, open),
                None => {
                    let Some((subscriber, queues)) = self.queues.pop_front() else {
                        return Ok(Vec::new());
                    };
                    let open = self.letters.open(&queues).await?;
                    self.open = open.map(|open| (subscriber, open));
                    continue;
                }
            };
            open.held.forget_bodies();
            let (mut page, mut bytes) = (Vec::new(), 0);
            while page.len() < PAGE && bytes < PAGE_BYTES && open.left > 0 {
                open.left -= 1;
                let Some(message) = open.held.get().await? else {
                    open.left = 0;
                    break;
                };
                bytes += message.data.len();
                let token: Arc<str> = message::token(&message).into();
                let store = Store {
                    letters: Arc::clone(&self.letters),
                    queues: open.held.queues.clone(),
                    held: Arc::downgrade(&open.held),
                };
                let letter = self.letters.letter(subscriber, &message);
                page.push(letter.kept_as(Arc::clone(&token), Arc::new(store)));
                open.held.keep(token, message);
            }
            if !page.is_empty() {
                return Ok(page);
            }
            open.held.give_back().await?;
            self.open = None;
        }
    }
}

impl DeadLetterReader for Reader {
    fn next_page(&mut self) -> BoxFuture<'_, Result<Vec<DeadLetter>, BackendError>> {
        Box::pin(async {
            let letters = Arc::clone(&self.letters);
            let page = letters.in_time("read dead letters", self.read()).await;
            if page.is_err() {
                // What was taken goes back with its channel.
                self.open = None;
            }
            page
        })
    }
}

/// Where a letter is kept: with the reader that found it, while that lives, else in the queue.
#[derive(Clone)]
struct Store {
    letters: Arc<DeadLetters>,
    queues: Queues,
    held: Weak<Held>,
}

/// A letter that was found again.
struct Found {
    held: Arc<Held>,
    message: Box<Delivery>,
    /// Whether its reader is still at it, which gives the others back in the end.
    is_being_read: bool,
}

impl Store {
    async fn find(self, token: &str) -> Result<Option<Found>, BackendError> {
        if let Some(held) = self.held.upgrade() {
            let taken = held.letters().remove(token);
            match taken {
                Some(Taken { message: Some(message), .. }) => {
                    return Ok(Some(Found { held, message, is_being_read: true }));
                }
                // Of an earlier page: it is read once more.
                Some(Taken { tag, message: None }) => held.return_one(tag).await?,
                None => {}
            }
        }
        let opened = self.letters.open(&self.queues).await?;
        let Some(Open { held, .. }) = opened else { return Ok(None) };
        // Not only as many as the queue says that it has: a quorum queue counts late.
        while let Some(message) = held.get().await? {
            let its_token = message::token(&message);
            if its_token == token {
                let message = Box::new(message);
                return Ok(Some(Found { held, message, is_being_read: false }));
            }
            let taken = Taken { tag: message.delivery_tag, message: None };
            held.letters().insert(its_token.into(), taken);
        }
        held.give_back().await?;
        Ok(None)
    }

    async fn replay(self, letter: DeadLetter) -> Result<bool, BackendError> {
        let (letters, queues) = (Arc::clone(&self.letters), self.queues.clone());
        let Some(found) = self.find(letter.token()).await? else { return Ok(false) };
        let message = Message::replayed(&found.message);
        match letters.send_back(&letter.subscriber, &queues, message).await {
            Ok(()) => found.remove().await.map(|()| true),
            Err(error) => {
                found.leave(letter.token()).await?;
                Err(error)
            }
        }
    }

    async fn purge(self, letter: DeadLetter) -> Result<bool, BackendError> {
        let Some(found) = self.find(letter.token()).await? else { return Ok(false) };
        found.remove().await.map(|()| true)
    }
}

impl Found {
    async fn remove(self) -> Result<(), BackendError> {
        self.held.remove(self.message.delivery_tag).await?;
        if self.is_being_read { Ok(()) } else { self.held.give_back().await }
    }

    async fn leave(self, token: &str) -> Result<(), BackendError> {
        self.held.keep(token.into(), *self.message);
        if self.is_being_read { Ok(()) } else { self.held.give_back().await }
    }
}

impl DeadLetterStore for Store {
    fn replay(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        let (store, letter) = (self.clone(), letter.clone());
        Box::pin(async {
            let letters = Arc::clone(&store.letters);
            letters.in_time("replay a dead letter", store.replay(letter)).await
        })
    }

    fn purge(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        let (store, letter) = (self.clone(), letter.clone());
        Box::pin(async {
            let letters = Arc::clone(&store.letters);
            letters.in_time("purge a dead letter", store.purge(letter)).await
        })
    }
}
