//! What subscribers could not handle: kept with the reason, until it is replayed or purged.
//!
//! A backend stores a [`DeadLetter`] when a delivery is settled so. Its [`DeadLetterReader`] gives them out page by
//! page, each with a token by which the backend's [`DeadLetterStore`] knows it again.

use std::{fmt, sync::Arc, time::SystemTime};

use crate::{
    delivery::Delivery,
    envelope::{EncodeError, Envelope, EventId, EventName},
    error::BackendError,
    maybe_ready::BoxFuture,
    reason::DeadLetterReason,
};

/// Reads dead letters, page by page.
pub trait DeadLetterReader: Send {
    /// The next ones, the oldest first; empty at the end.
    ///
    /// The end is what was there when the reader was opened, so that a replayed letter which fails again does not come
    /// twice. What is replayed or purged meanwhile may be missing.
    fn next_page(&mut self) -> BoxFuture<'_, Result<Vec<DeadLetter>, BackendError>>;
}

/// The backend's end of a [`DeadLetter`].
pub trait DeadLetterStore: Send + Sync {
    /// Delivers the event again to the subscriber that failed, and to no other, as a first attempt; then forgets the
    /// letter. False if it was not there any more.
    ///
    /// The event is handed over before the letter is removed, never the other way round. Where the subscriber is not
    /// there, it is [`BackendError::not_subscribed`], and the letter stays.
    fn replay(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>>;

    /// Forgets it. False if it was not there any more.
    fn purge(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>>;
}

/// An event that a subscriber could not handle, kept with the reason.
///
/// When the event was published is in its metadata.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event.
    pub envelope: Envelope,
    /// The id of the subscriber that could not handle it.
    pub subscriber: Arc<str>,
    /// Why, with the chain of causes.
    pub reason: String,
    /// How often the subscriber was given the event.
    pub attempts: u32,
    /// When it became a dead letter.
    pub time: SystemTime,
    /// Where it is kept, and as what; `None` of a record that is yet to be stored.
    kept: Option<Kept>,
}

#[derive(Clone)]
struct Kept {
    token: Arc<str>,
    store: Arc<dyn DeadLetterStore>,
}

impl DeadLetter {
    /// The record of a delivery that failed just now, to be stored.
    pub fn new(subscriber: Arc<str>, delivery: &Delivery, reason: &DeadLetterReason) -> Self {
        Self::recorded(
            delivery.envelope().clone(),
            subscriber,
            reason.to_string(),
            delivery.attempt(),
            SystemTime::now(),
        )
    }

    /// A record that a backend has read; [`kept_as`](Self::kept_as) makes it whole.
    pub fn recorded(
        envelope: Envelope,
        subscriber: Arc<str>,
        reason: String,
        attempts: u32,
        time: SystemTime,
    ) -> Self {
        Self { envelope, subscriber, reason, attempts, time, kept: None }
    }

    /// Says that `store` keeps it, and knows it by `token`: as every letter is that a reader gives out.
    #[must_use]
    pub fn kept_as(mut self, token: impl Into<Arc<str>>, store: Arc<dyn DeadLetterStore>) -> Self {
        self.kept = Some(Kept { token: token.into(), store });
        self
    }

    /// The id of the event.
    pub fn event_id(&self) -> EventId {
        self.envelope.metadata().id()
    }

    /// The name of the event.
    pub fn event_name(&self) -> &EventName {
        self.envelope.metadata().name()
    }

    /// The event's data as JSON text.
    ///
    /// # Errors
    ///
    /// When it has none: see [`Payload::json`](crate::Payload::json).
    pub fn json(&self) -> Result<String, EncodeError> {
        self.envelope.payload().json_text()
    }

    /// What its store knows it by; empty of a record that is yet to be stored.
    pub fn token(&self) -> &str {
        self.kept.as_ref().map_or("", |kept| &kept.token)
    }

    /// Delivers the event again to the subscriber that failed, and to no other, as a first attempt; then forgets the
    /// letter. False if it was not there any more.
    ///
    /// It is the event as it was published, with its id, its time and its place in the chain of events; if it fails
    /// again, it becomes a dead letter anew. The letter is removed after the event has been handed over, so a crash
    /// in between leaves both, and so may a subscriber that is just leaving.
    ///
    /// # Errors
    ///
    /// When the backend cannot be reached, and when there is no subscription to replay to
    /// ([`BackendError::is_not_subscribed`]). The letter is kept then. After a timeout, or when the future is
    /// dropped, it may have been replayed all the same.
    pub async fn replay(self) -> Result<bool, BackendError> {
        match &self.kept {
            Some(kept) => kept.store.replay(&self).await,
            None => Err(self.not_kept("replay")),
        }
    }

    /// Forgets the letter. False if it was not there any more.
    ///
    /// # Errors
    ///
    /// When the backend cannot be reached.
    pub async fn purge(self) -> Result<bool, BackendError> {
        match &self.kept {
            Some(kept) => kept.store.purge(&self).await,
            None => Err(self.not_kept("purge")),
        }
    }

    #[cold]
    fn not_kept(&self, attempt: &str) -> BackendError {
        let name = self.envelope.metadata().name();
        BackendError::other(format!("{attempt} the dead letter {name}"), "it is not stored yet")
    }
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("envelope", &self.envelope)
            .field("subscriber", &self.subscriber)
            .field("reason", &self.reason)
            .field("attempts", &self.attempts)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}
