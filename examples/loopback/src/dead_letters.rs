//! What could not be handled: it is kept by the broker, and read, replayed and purged from there.

use std::sync::Arc;

use aury_events_backends::{
    BackendError, BoxFuture, DeadLetter, DeadLetterReader, DeadLetterStore, kit::lock,
};
use tokio::time::Instant;

use crate::broker::{Broker, Kept, Waiting};

/// The dead letters of a broker.
pub(crate) struct Letters {
    pub(crate) broker: Arc<Broker>,
}

impl Letters {
    /// Those of these subscribers, in the order in which they came.
    pub(crate) fn of(self: &Arc<Self>, service: &str, subscribers: &[Arc<str>]) -> Vec<DeadLetter> {
        let letters = lock(&self.broker.dead_letters);
        let mine = letters.iter().filter(|kept| {
            *kept.queue.spec.service == *service && subscribers.contains(&kept.letter.subscriber)
        });
        let token = |kept: &Kept| kept.number.to_string();
        mine.map(|kept| kept.letter.clone().kept_as(token(kept), Arc::clone(self) as _)).collect()
    }

    /// Takes a letter out, if `may_go` says so of it.
    pub(crate) fn take(
        &self,
        letter: &DeadLetter,
        may_go: impl FnOnce(&Kept) -> Result<(), BackendError>,
    ) -> Result<bool, BackendError> {
        let mut letters = lock(&self.broker.dead_letters);
        let is_it = |kept: &Kept| kept.number.to_string() == letter.token();
        let Some(at) = letters.iter().position(is_it) else { return Ok(false) };
        may_go(&letters[at])?;
        letters.remove(at);
        Ok(true)
    }
}

impl DeadLetterStore for Letters {
    fn replay(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        let replayed = self.take(letter, |Kept { letter, queue, .. }| {
            let is_there = lock(&self.broker.queues).iter().any(|it| Arc::ptr_eq(it, queue));
            if !is_there {
                return Err(BackendError::not_subscribed(Arc::clone(&letter.subscriber)));
            }
            let (envelope, due) = (letter.envelope.clone(), Instant::now());
            queue.change(|waiting| waiting.push_back(Waiting { envelope, attempt: 1, due }));
            Ok(())
        });
        Box::pin(async { replayed })
    }

    fn purge(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        let purged = self.take(letter, |_| Ok(()));
        Box::pin(async { purged })
    }
}

/// The letters that were there when it was opened, in one page.
pub(crate) struct LetterReader {
    pub(crate) letters: Vec<DeadLetter>,
}

impl DeadLetterReader for LetterReader {
    fn next_page(&mut self) -> BoxFuture<'_, Result<Vec<DeadLetter>, BackendError>> {
        let page = std::mem::take(&mut self.letters);
        Box::pin(async { Ok(page) })
    }
}
