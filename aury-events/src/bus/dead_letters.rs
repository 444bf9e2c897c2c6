//! What subscribers could not handle.

use std::{collections::BTreeSet, fmt, sync::Arc};

use aury_events_backends::{BackendError, DeadLetter, DeadLetterReader, EventId};

use super::EventBus;
use crate::error::{BackendFailure, Error};

/// The dead letters of a bus, those of each subscriber the oldest first: events that a subscriber of this service could not handle, kept with
/// the reason until they are replayed or purged. Got by [`EventBus::dead_letters`].
///
/// ```
/// # use aury_events::prelude::*;
/// # async fn f(bus: EventBus) -> Result<(), aury_events::Error> {
/// let mut letters = bus.dead_letters().of("shop::mail::send_order_email");
/// while let Some(letter) = letters.next().await? {
///     println!("{}: {}", letter.event_id(), letter.reason);
///     if letter.reason.contains("mailbox full") {
///         letter.replay().await?;
///     }
/// }
/// bus.dead_letters().purge_all().await?;
/// # Ok(()) }
/// ```
///
/// It is a stream: [`next`](Self::next) gives one after the other and reads them from the backend page by page. Its end
/// is what was there at the first call, so that a replayed letter which fails again does not come twice.
///
/// It looks at the subscribers that the program knows for this bus, whether this process runs them or not: those of
/// `#[subscribe]`, and those made at run time in this process, the latest 1024. [`of`](Self::of) selects another one.
///
/// The service is that of this process: see [`service`](Self::service). A program that is to look at another one's letters
/// has to belong to that, by `EVENT_SERVICE` or [`EventBusManagerBuilder::service`](crate::EventBusManagerBuilder::service).
///
/// On `memory` the latest 1024 are kept, and [`Health::dropped_dead_letters`](crate::Health) counts those that were
/// pushed out; on `redis` and `redis-streams`, the latest of each subscriber within `EVENT_DEAD_LETTER_MAX_COUNT` and
/// `EVENT_DEAD_LETTER_MAX_BYTES`, and those that this process pushed out are counted there, too.
pub struct DeadLetters {
    bus: EventBus,
    /// `None` for all that the program knows.
    subscriber: Option<Arc<str>>,
    /// `None` until the first read.
    reader: Option<Box<dyn DeadLetterReader>>,
    page: std::vec::IntoIter<DeadLetter>,
}

impl DeadLetters {
    pub(super) fn new(bus: EventBus) -> Self {
        Self { bus, subscriber: None, reader: None, page: Vec::new().into_iter() }
    }

    /// Selects the letters of one subscriber, by its id. It need not be part of the program any more.
    #[must_use]
    pub fn of(self, subscriber: impl Into<Arc<str>>) -> Self {
        Self { subscriber: Some(subscriber.into()), ..Self::new(self.bus) }
    }

    /// The service whose dead letters these are.
    pub fn service(&self) -> &str {
        self.bus.service()
    }

    /// The next letter; `None` at the end.
    ///
    /// Cancel safe: a letter that was not returned comes with the next call.
    ///
    /// # Errors
    ///
    /// When the backend cannot be reached. A further call tries again.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, Error> {
        if let Some(letter) = self.page.next() {
            return Ok(Some(letter));
        }
        let page = self.next_page().await.map_err(|error| self.failure("list", error))?;
        self.page = page.into_iter();
        Ok(self.page.next())
    }

    /// The letter of the event with that id; the first of several, if several subscribers could not handle it:
    /// [`of`](Self::of) selects one. It reads page after page until the letter comes.
    ///
    /// # Errors
    ///
    /// When the backend cannot be reached.
    pub async fn find(mut self, event: EventId) -> Result<Option<DeadLetter>, Error> {
        while let Some(letter) = self.next().await? {
            if letter.event_id() == event {
                return Ok(Some(letter));
            }
        }
        Ok(None)
    }

    /// All of them. Where there may be many, [`next`](Self::next) keeps only a page in memory.
    ///
    /// # Errors
    ///
    /// When the backend cannot be reached.
    pub async fn list(mut self) -> Result<Vec<DeadLetter>, Error> {
        let mut letters = Vec::new();
        while let Some(letter) = self.next().await? {
            letters.push(letter);
        }
        Ok(letters)
    }

    /// Replays all of them, each to the subscriber that failed: see [`DeadLetter::replay`]. Gives how many.
    ///
    /// Dropping the future leaves the rest as it is.
    ///
    /// # Errors
    ///
    /// When the backend cannot be reached, at once: those before have been replayed. When some subscribers are not
    /// there to replay to, all others' letters are replayed first; the error says how many are left.
    pub async fn replay_all(mut self) -> Result<usize, Error> {
        let (mut replayed, mut left, mut missing) = (0, 0_usize, None);
        while let Some(letter) = self.next().await? {
            match letter.replay().await {
                Ok(was_there) => replayed += usize::from(was_there),
                Err(error) if error.is_not_subscribed() => {
                    left += 1;
                    missing.get_or_insert(error);
                }
                Err(error) => return Err(self.failure("replay", error)),
            }
        }
        match missing {
            None => Ok(replayed),
            Some(error) => {
                let attempt = format!("replay {left} of {} dead letters", left + replayed);
                Err(BackendFailure::new(attempt, self.bus.name(), error).into())
            }
        }
    }

    /// Forgets all of them. Gives how many.
    ///
    /// # Errors
    ///
    /// When the backend cannot be reached.
    pub async fn purge_all(mut self) -> Result<usize, Error> {
        let mut purged = 0;
        while let Some(letter) = self.next().await? {
            let was_there = letter.purge().await.map_err(|error| self.failure("purge", error))?;
            purged += usize::from(was_there);
        }
        Ok(purged)
    }

    async fn next_page(&mut self) -> Result<Vec<DeadLetter>, BackendError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let subscribers = match &self.subscriber {
                    Some(subscriber) => BTreeSet::from([Arc::clone(subscriber)]),
                    None => self.bus.known_subscribers(),
                };
                let subscribers: Vec<_> = subscribers.into_iter().collect();
                self.reader.insert(self.bus.backend().dead_letters(&subscribers).await?)
            }
        };
        reader.next_page().await
    }

    #[cold]
    fn failure(&self, attempt: &str, error: BackendError) -> Error {
        BackendFailure::new(format!("{attempt} the dead letters"), self.bus.name(), error).into()
    }
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters")
            .field("bus", &self.bus.name())
            .field("service", &self.service())
            .field("subscriber", &self.subscriber)
            .finish_non_exhaustive()
    }
}
