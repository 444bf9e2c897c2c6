//! The oracle: what was confirmed must have been handled.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use super::wait::until;
use crate::{envelope::EventId, kit::lock};

/// A record of what was published and what became of it, for the judgement that matters: for each subscriber,
/// confirmed ⊆ handled ∪ dead-lettered, nothing unexpected, and duplicates counted.
///
/// Clones share the record.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    confirmed: BTreeSet<EventId>,
    doubtful: BTreeSet<EventId>,
    subscribers: BTreeMap<String, BTreeMap<EventId, u32>>,
}

/// The judgement of a [`Ledger`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Balance {
    /// How many events were confirmed to their publisher.
    pub confirmed: usize,
    /// How many were not confirmed, so that they may arrive or not.
    pub doubtful: usize,
    /// How often subscribers were done with an event.
    pub done: usize,
    /// How often a subscriber was done with an event that it had been done with before.
    pub duplicates: usize,
    /// What was confirmed and did not reach a subscriber.
    pub missing: Vec<(String, EventId)>,
    /// What reached a subscriber and had never been published.
    pub unexpected: Vec<(String, EventId)>,
}

impl Ledger {
    /// A record for subscribers of these names. Each is to get every event.
    pub fn of<S: Into<String>>(subscribers: impl IntoIterator<Item = S>) -> Self {
        let subscribers = subscribers.into_iter().map(|name| (name.into(), BTreeMap::new()));
        let entries = Entries { subscribers: subscribers.collect(), ..Entries::default() };
        Self(Arc::new(Mutex::new(entries)))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        lock(&self.0)
    }

    /// An event was confirmed to its publisher: it must reach every subscriber.
    pub fn confirmed(&self, id: EventId) {
        self.entries().confirmed.insert(id);
    }

    /// An event may reach subscribers or not: its publisher got an error, or no promise covers it.
    pub fn doubtful(&self, id: EventId) {
        self.entries().doubtful.insert(id);
    }

    /// A subscriber is done with an event: it handled it or made it a dead letter.
    pub fn done(&self, subscriber: &str, id: EventId) {
        let mut entries = self.entries();
        let events = entries.subscribers.entry(subscriber.to_owned()).or_default();
        *events.entry(id).or_default() += 1;
    }

    /// How many events were confirmed so far.
    pub fn confirmations(&self) -> usize {
        self.entries().confirmed.len()
    }

    /// Whether all that was confirmed has reached every subscriber.
    pub fn is_complete(&self) -> bool {
        let entries = self.entries();
        let has_all = |events: &BTreeMap<EventId, u32>| {
            entries.confirmed.iter().all(|id| events.contains_key(id))
        };
        entries.subscribers.values().all(has_all)
    }

    /// Adds it all up.
    pub fn balance(&self) -> Balance {
        let entries = self.entries();
        let mut balance = Balance {
            confirmed: entries.confirmed.len(),
            doubtful: entries.doubtful.len(),
            ..Balance::default()
        };
        for (subscriber, events) in &entries.subscribers {
            let missing = entries.confirmed.iter().filter(|id| !events.contains_key(id));
            balance.missing.extend(missing.map(|id| (subscriber.clone(), id.clone())));
            for (id, times) in events {
                balance.done += *times as usize;
                balance.duplicates += *times as usize - 1;
                if !entries.confirmed.contains(id) && !entries.doubtful.contains(id) {
                    balance.unexpected.push((subscriber.clone(), id.clone()));
                }
            }
        }
        balance
    }

    /// Waits until all that was confirmed has reached every subscriber.
    ///
    /// # Panics
    ///
    /// When that takes longer than `limit`; the message has the balance.
    pub async fn complete_within(&self, limit: Duration) {
        let complete = tokio::time::timeout(limit, until("", limit * 2, || self.is_complete()));
        if complete.await.is_err() {
            panic!("after {limit:?}: {}", self.balance());
        }
    }

    /// Judges, and prints the counts.
    ///
    /// # Panics
    ///
    /// When anything is missing or unexpected, or there are more than `most_duplicates`.
    pub fn verify(&self, most_duplicates: usize) {
        let balance = self.balance();
        eprintln!("{balance}");
        assert!(balance.missing.is_empty() && balance.unexpected.is_empty(), "{balance}");
        assert!(
            balance.duplicates <= most_duplicates,
            "{balance}; no more than {most_duplicates} duplicates are allowed"
        );
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { confirmed, doubtful, done, duplicates, missing, unexpected } = self;
        write!(
            f,
            "{confirmed} confirmed, {doubtful} doubtful, {done} done, {duplicates} duplicates, \
             {} missing, {} unexpected",
            missing.len(),
            unexpected.len()
        )?;
        for (what, events) in [("missing", missing), ("unexpected", unexpected)] {
            if let Some((subscriber, id)) = events.first() {
                write!(f, "; {what} is {id} at {subscriber}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subscriber_has_to_get_all_that_was_confirmed_and_nothing_else() {
        let ledger = Ledger::of(["a", "b"]);
        ledger.confirmed("1".into());
        ledger.doubtful("2".into());
        ledger.done("a", "1".into());
        ledger.done("a", "1".into());
        ledger.done("a", "2".into());
        ledger.done("a", "3".into());
        let balance = ledger.balance();
        assert_eq!(balance.missing, [("b".to_owned(), "1".into())]);
        assert_eq!(balance.unexpected, [("a".to_owned(), "3".into())]);
        assert_eq!((balance.done, balance.duplicates), (4, 1));
        assert!(!ledger.is_complete());
        ledger.done("b", "1".into());
        assert!(ledger.is_complete());
    }
}
