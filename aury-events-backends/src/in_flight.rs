//! The count of what was accepted and is not settled yet.
//!
//! A bus is idle when everything that its subscriptions accepted has been settled, what handlers published meanwhile
//! included. Looking at one subscription after another cannot tell: an event may have moved on to one that was looked
//! at before. So each subscription counts two numbers that only grow, accepted and settled. Reading all the settled
//! ones first and all the accepted ones after it gives equal sums only if there was an instant between the two at
//! which nothing was in flight (the four-counter method of Mattern, *Algorithms for distributed termination
//! detection*, 1987, §6, for counters that one process can read).

use std::{
    collections::HashSet,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Relaxed, Release, SeqCst},
        },
    },
};

use tokio::sync::Notify;

use crate::{
    envelope::{EventId, Metadata},
    sync::lock,
};

/// All that a bus's subscriptions hold and have not settled. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    tallies: Mutex<Tallies>,
    /// How many callers wait for idleness; while there are none, settling does not look any further.
    watchers: AtomicUsize,
    idle: Notify,
    /// How many of the deliveries in flight no handler owns.
    unowned: AtomicU64,
    /// The events that the bus has taken so, with all that their handlers publish.
    unowned_events: Mutex<HashSet<EventId>>,
    /// The buses that drain together, this one included.
    group: Mutex<Vec<Weak<Shared>>>,
}

/// A publish under way that no handler owns.
#[derive(Debug)]
pub(crate) struct UnownedPublish {
    _tally: Tally,
    _mark: Unowned,
}

#[derive(Debug, Default)]
struct Tallies {
    live: Vec<Arc<Counts>>,
    /// What the subscriptions that are gone had accepted; all of it counts as settled.
    retired: u64,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    settled: AtomicU64,
    /// How many of those that are not settled nobody waits for any more.
    left: AtomicU64,
}

/// One subscription's share of an [`InFlight`] count.
///
/// When it is dropped, what was not settled no longer counts as in flight.
#[derive(Debug)]
pub struct Tally {
    counts: Arc<Counts>,
    shared: Arc<Shared>,
}

impl InFlight {
    /// A share of its own for one more subscription.
    pub fn tally(&self) -> Tally {
        let counts = Arc::<Counts>::default();
        self.0.tallies().live.push(Arc::clone(&counts));
        Tally { counts, shared: Arc::clone(&self.0) }
    }

    /// How many deliveries are accepted and not settled now.
    pub fn count(&self) -> u64 {
        self.0.open()
    }

    /// Makes them the buses that drain together: handlers on one may wait for what is published on another.
    pub fn link(buses: &[Self]) {
        for bus in buses {
            let group = buses.iter().map(|bus| Arc::downgrade(&bus.0)).collect();
            *bus.0.group() = group;
        }
    }

    /// How many deliveries of all linked buses are in flight, but for those that a bus has taken while it drained from
    /// tasks that no handler owns.
    ///
    /// While there are any, a bus that drains still takes what the application publishes: a handler may be waiting for
    /// the task that does it. What is taken so does not keep the bus open for more.
    pub fn owned(&self) -> u64 {
        let owned = |bus: &Arc<Shared>| bus.unsettled().saturating_sub(bus.unowned.load(SeqCst));
        self.group().iter().map(owned).sum()
    }

    /// Whether there are deliveries that nobody waits for any more: see [`Delivery::leave`](crate::Delivery::leave).
    pub fn has_left(&self) -> bool {
        self.0.tallies().live.iter().any(|counts| counts.left.load(SeqCst) > 0)
    }

    fn group(&self) -> Vec<Arc<Shared>> {
        let group: Vec<_> = self.0.group().iter().filter_map(Weak::upgrade).collect();
        if group.is_empty() { vec![Arc::clone(&self.0)] } else { group }
    }

    /// Whether an event belongs to those that no handler owns, or is published by the handler of one.
    pub(crate) fn is_unowned(&self, event: &Metadata) -> bool {
        let Some(cause) = event.causation_id() else { return false };
        self.group().iter().any(|bus| bus.unowned_events().contains(&cause))
    }

    /// Takes note of an event that no handler owns.
    pub(crate) fn add_unowned(&self, event: &Metadata) {
        self.0.unowned_events().insert(event.id());
    }

    /// Counts a publish in that no handler owns, while the bus drains: `None` when no handler can be waiting for it.
    ///
    /// The count lives until the event has been taken, so that the bus does not close in between.
    pub(crate) fn publish_unowned(&self) -> Option<UnownedPublish> {
        let tally = self.tally();
        let mark = tally.unowned();
        tally.accept();
        let publish = UnownedPublish { _tally: tally, _mark: mark };
        (self.owned() > 0).then_some(publish)
    }

    /// Waits until nothing is in flight that may still be settled, what handlers publish meanwhile included.
    ///
    /// Cancel safe: it only watches.
    pub async fn settled(&self) {
        Self::all_settled(std::slice::from_ref(self)).await;
    }

    /// Waits until nothing is in flight in any of several buses, events that handlers send from one to another
    /// included.
    pub async fn all_settled(buses: &[Self]) {
        loop {
            for bus in buses {
                bus.watch_until_settled().await;
            }
            if Self::is_idle(buses) {
                return;
            }
        }
    }

    async fn watch_until_settled(&self) {
        let _watching = Watching::new(&self.0);
        loop {
            let mut idle = pin!(self.0.idle.notified());
            idle.as_mut().enable();
            if Self::is_idle(std::slice::from_ref(self)) {
                return;
            }
            idle.await;
        }
    }

    /// Whether there was an instant during this call at which nothing was in flight that may still be settled.
    fn is_idle(buses: &[Self]) -> bool {
        let total = |counter| buses.iter().map(|bus| bus.0.total(counter)).sum();
        let over: u64 = total(Counts::over);
        let accepted: u64 = total(|counts| counts.accepted.load(SeqCst));
        over == accepted
    }
}

impl Shared {
    fn open(&self) -> u64 {
        self.tallies().live.iter().map(|counts| counts.open()).sum()
    }

    /// Those that may still be settled.
    fn unsettled(&self) -> u64 {
        let unsettled =
            |counts: &Arc<Counts>| counts.open().saturating_sub(counts.left.load(SeqCst));
        self.tallies().live.iter().map(unsettled).sum()
    }

    fn unowned_events(&self) -> MutexGuard<'_, HashSet<EventId>> {
        lock(&self.unowned_events)
    }

    fn group(&self) -> MutexGuard<'_, Vec<Weak<Self>>> {
        lock(&self.group)
    }

    fn tallies(&self) -> MutexGuard<'_, Tallies> {
        // The counts are valid after every single step, so a panic elsewhere does not spoil them.
        lock(&self.tallies)
    }

    fn total(&self, counter: fn(&Counts) -> u64) -> u64 {
        let tallies = self.tallies();
        tallies.retired + tallies.live.iter().map(|counts| counter(counts)).sum::<u64>()
    }
}

impl Counts {
    /// What is settled, and what will not be.
    fn over(&self) -> u64 {
        self.settled.load(SeqCst) + self.left.load(SeqCst)
    }

    fn open(&self) -> u64 {
        let settled = self.settled.load(SeqCst);
        self.accepted.load(SeqCst).saturating_sub(settled)
    }
}

impl Tally {
    /// Counts one delivery in. To be called before anybody can settle it.
    #[inline]
    pub fn accept(&self) {
        self.counts.accepted.fetch_add(1, SeqCst);
    }

    /// The same for a caller whose own lock keeps others from counting in meanwhile: it saves an atomic addition.
    #[inline]
    pub(crate) fn accept_under_lock(&self) {
        self.counts.accepted.store(self.counts.accepted.load(Relaxed) + 1, Release);
    }

    /// Counts one delivery out. What handling it has published must have been accepted by now.
    #[inline]
    pub fn settle(&self) {
        self.counts.settled.fetch_add(1, SeqCst);
        if self.shared.watchers.load(SeqCst) > 0 {
            self.tell_watchers();
        }
    }

    /// Takes note that one delivery will not be settled: it counts as in flight, but nobody waits for it.
    pub(crate) fn leave(&self) {
        self.counts.left.fetch_add(1, SeqCst);
        self.tell_watchers();
    }

    #[cold]
    fn tell_watchers(&self) {
        if self.counts.over() == self.counts.accepted.load(SeqCst) {
            self.shared.idle.notify_waiters();
        }
    }

    /// How many deliveries of this subscription are accepted and not settled.
    pub fn count(&self) -> u64 {
        self.counts.open()
    }
}

/// Marks a delivery in flight as one that no handler owns, while it lives.
#[derive(Debug)]
pub(crate) struct Unowned(Arc<Shared>);

impl Tally {
    /// A mark for one more delivery.
    pub(crate) fn unowned(&self) -> Unowned {
        self.shared.unowned.fetch_add(1, SeqCst);
        Unowned(Arc::clone(&self.shared))
    }
}

impl Drop for Unowned {
    fn drop(&mut self) {
        self.0.unowned.fetch_sub(1, SeqCst);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let mut tallies = self.shared.tallies();
        tallies.live.retain(|counts| !Arc::ptr_eq(counts, &self.counts));
        tallies.retired += self.counts.accepted.load(SeqCst);
        drop(tallies);
        self.shared.idle.notify_waiters();
    }
}

/// Asks for notice while it lives.
struct Watching<'a>(&'a Shared);

impl<'a> Watching<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.watchers.fetch_add(1, SeqCst);
        Self(shared)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, SeqCst);
    }
}
