//! What one subscriber holds: the deliveries between the server and its handlers.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use tokio::{
    sync::{Notify, oneshot, watch},
    time::Instant,
};

mod consumer;
mod intake;
mod orders;

use self::orders::Orders;
pub(crate) use self::{
    consumer::StreamConsumer,
    intake::Intake,
    orders::{Kept, PutAway, Tell},
};
use super::server::EntryId;
use crate::{
    backend::SubscriptionHealth,
    dead_letters::DeadLetter,
    delivery::{Delivery, Settle, Settlement},
    envelope::Envelope,
    error::BackendError,
    in_flight::Tally,
    kit::{IN_PLACE, due_after},
    maybe_ready::MaybeReady,
};

/// The deliveries of one subscriber in this process, and what is to be told to the server about them.
///
/// An entry of a stream is *held* from the moment it is taken in until the server has taken its acknowledgement. So
/// what is held is both what the prefetch bounds and the memory by which an entry that the server sends again, because
/// an acknowledgement was lost, is recognised and not handed out again.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) subscriber: Arc<str>,
    /// How many entries may be held.
    prefetch: usize,
    /// Whether entries are acknowledged, and long retries wait on the server.
    has_group: bool,
    state: Mutex<State>,
    pub(crate) to_tell: Orders<Tell>,
    pub(crate) to_put_away: Orders<PutAway>,
    intake: watch::Sender<Intake>,
    /// Tells the reader that there may be room.
    room: Notify,
    tally: Tally,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Waiting>,
    delayed: BTreeMap<(Instant, u64), Waiting>,
    held: HashMap<u64, Held>,
    places: HashSet<Place>,
    last_tag: u64,
    /// The consumer, while it waits.
    consumer: Option<Waker>,
    /// Entries that handlers have seen and will not see again here.
    given_up: Vec<Place>,
    is_live: bool,
}

/// Where an entry stands: the number of its stream within the subscription, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) stream: usize,
    pub(crate) id: EntryId,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    place: Place,
    /// The number of the attempt that its first delivery from this stream is.
    first_attempt: u32,
    is_with_handler: bool,
    /// Whether the order that ends it is on its way.
    is_settled: bool,
}

#[derive(Debug)]
struct Waiting {
    tag: u64,
    envelope: Envelope,
    attempt: u32,
}

/// What [`Inbox::next`] finds.
pub(crate) enum Next {
    Delivery(Delivery),
    /// Nothing yet; maybe something at that time.
    Later(Option<Instant>),
    End,
}

impl Inbox {
    pub(crate) fn new(
        subscriber: Arc<str>,
        prefetch: usize,
        has_group: bool,
        tally: Tally,
    ) -> Self {
        Self {
            subscriber,
            prefetch: prefetch.max(1),
            has_group,
            state: Mutex::default(),
            to_tell: Orders::default(),
            to_put_away: Orders::default(),
            intake: watch::Sender::new(Intake::Open),
            room: Notify::new(),
            tally,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an entry, unless it is held already. `count` is how often the server has delivered it from its stream,
    /// whose first delivery is attempt `first_attempt`. Gives whether it is here now.
    pub(crate) fn take_in(
        &self,
        place: Place,
        envelope: Envelope,
        first_attempt: u32,
        count: u32,
    ) -> bool {
        let mut state = self.state();
        if self.intake() >= Intake::Cancelled {
            return false;
        }
        if !state.places.insert(place) {
            return true;
        }
        self.tally.accept();
        let tag = state.hold(place, first_attempt);
        let attempt = first_attempt.saturating_add(count.max(1) - 1);
        state.ready.push_back(Waiting { tag, envelope, attempt });
        wake(state);
        true
    }

    /// Takes in an entry that is no event. Nothing is handed out; it is kept elsewhere, or, when `None`, forgotten. Gives
    /// whether it is here now.
    pub(crate) fn take_in_broken(&self, place: Place, as_what: Option<Kept>) -> bool {
        let mut state = self.state();
        if self.intake() >= Intake::Cancelled {
            return false;
        }
        if !state.places.insert(place) {
            return true;
        }
        self.tally.accept();
        let tag = state.hold(place, 1);
        state.settle(tag);
        drop(state);
        match as_what {
            Some(as_what) => self.to_put_away.add(PutAway { tag, as_what, stored: None }),
            None => self.to_tell.add(Tell::Ack { tag }),
        }
        true
    }

    /// Whether an entry is held, be it that only its acknowledgement is outstanding.
    pub(crate) fn holds(&self, place: Place) -> bool {
        self.state().places.contains(&place)
    }

    /// Which entry a tag is.
    pub(crate) fn place_of(&self, tag: u64) -> Option<Place> {
        self.state().held.get(&tag).map(|held| held.place)
    }

    /// Lets go of an entry: the server has taken note of what became of it.
    pub(crate) fn release(&self, tags: impl IntoIterator<Item = u64>) {
        let mut state = self.state();
        for tag in tags {
            if let Some(held) = state.held.remove(&tag) {
                state.places.remove(&held.place);
                self.tally.settle();
            }
        }
        drop(state);
        self.room.notify_one();
    }

    /// Waits until so many entries can be taken in that a round trip pays; gives the number. `None` when nothing more
    /// is to be read. Cancel safe.
    pub(crate) async fn wait_for_room(&self) -> Option<usize> {
        loop {
            if self.intake() != Intake::Open {
                return None;
            }
            let room = self.room();
            let handlers_idle = room > 0 && self.state().ready.is_empty();
            if handlers_idle || room >= self.prefetch.div_ceil(2) {
                return Some(room);
            }
            self.room.notified().await;
        }
    }

    /// How many entries can be read now.
    fn room(&self) -> usize {
        self.prefetch.saturating_sub(self.state().held.len())
    }

    /// How many entries can be taken over, or taken for another attempt: as many again as are read, so that a backlog
    /// does not keep these out.
    pub(crate) fn room_beside(&self) -> usize {
        (self.prefetch * 2).saturating_sub(self.state().held.len()).min(self.prefetch)
    }

    /// Gives the next delivery, or has the consumer woken when there may be one.
    pub(crate) fn next(self: &Arc<Self>, waker: &Waker) -> Next {
        let mut state = self.state();
        let intake = self.intake();
        if intake >= Intake::Abandoned {
            return Next::End;
        }
        let Some(waiting) = state.next_waiting() else {
            if intake == Intake::Cancelled && state.delayed.is_empty() {
                return Next::End;
            }
            state.consumer = Some(waker.clone());
            return Next::Later(state.delayed.keys().next().map(|(due, _)| *due));
        };
        if let Some(held) = state.held.get_mut(&waiting.tag) {
            held.is_with_handler = true;
        }
        let is_last = state.ready.is_empty();
        drop(state);
        if is_last {
            self.room.notify_one();
        }
        let settler = Arc::clone(self) as Arc<dyn Settle>;
        Next::Delivery(Delivery::new(waiting.envelope, waiting.attempt, settler, waiting.tag))
    }

    /// Has a delivery handed out here once more.
    fn redeliver(&self, delivery: &Delivery, due: Option<Instant>) {
        let (tag, attempt) = (delivery.tag(), delivery.attempt().saturating_add(1));
        let mut state = self.state();
        let Some(held) = state.held.get_mut(&tag) else { return };
        held.is_with_handler = false;
        let (place, first_attempt) = (held.place, held.first_attempt);
        if self.intake() >= Intake::Abandoned {
            state.held.remove(&tag);
            state.places.remove(&place);
            state.given_up.push(place);
            drop(state);
            self.tally.settle();
            self.to_tell.wake();
            return;
        }
        let waiting = Waiting { tag, envelope: delivery.envelope().clone(), attempt };
        match due {
            Some(due) => drop(state.delayed.insert((due, tag), waiting)),
            None => state.ready.push_front(waiting),
        }
        wake(state);
        if self.has_group {
            let count = attempt.saturating_sub(first_attempt) + 1;
            self.to_tell.add(Tell::Count { tag, count });
        }
    }

    /// Takes note that a handler is done with a delivery, unless nobody would tell the server any more.
    fn finish(&self, tag: u64) -> Result<(), BackendError> {
        if self.intake() == Intake::Over {
            return Err(BackendError::closed());
        }
        self.state().settle(tag);
        Ok(())
    }

    /// Has an event kept elsewhere. It is there when the wait is over.
    fn put_away(&self, tag: u64, as_what: Kept) -> MaybeReady<'static, Result<(), BackendError>> {
        if let Err(error) = self.finish(tag) {
            return MaybeReady::ready(Err(error));
        }
        let (stored, storing) = oneshot::channel();
        self.to_put_away.add(PutAway { tag, as_what, stored: Some(stored) });
        MaybeReady::pending(async { storing.await.map_err(|_| BackendError::closed()) })
    }

    pub(crate) fn intake(&self) -> Intake {
        *self.intake.borrow()
    }

    /// Goes on to `intake`, unless it is past it.
    pub(crate) fn advance(&self, intake: Intake) {
        let advanced = self.intake.send_if_modified(|current| {
            let is_earlier = *current < intake;
            *current = (*current).max(intake);
            is_earlier
        });
        if !advanced {
            return;
        }
        let mut state = self.state();
        if intake >= Intake::Abandoned {
            let ready = std::mem::take(&mut state.ready);
            let delayed = std::mem::take(&mut state.delayed);
            for waiting in ready.into_iter().chain(delayed.into_values()) {
                if let Some(held) = state.held.remove(&waiting.tag) {
                    state.places.remove(&held.place);
                    self.tally.settle();
                }
            }
        }
        wake(state);
        self.room.notify_one();
        self.to_tell.wake();
    }

    /// Waits until the intake has come that far. Cancel safe.
    pub(crate) async fn reached(&self, intake: Intake) {
        // The sender is this inbox's own, so it is not gone while we wait.
        let _ = self.intake.subscribe().wait_for(|current| *current >= intake).await;
    }

    /// Whether there will be no more orders.
    pub(crate) fn is_finished(&self) -> bool {
        let state = self.state();
        match self.intake() {
            Intake::Open | Intake::Draining => false,
            Intake::Cancelled | Intake::Abandoned => state.held.is_empty(),
            Intake::Closed | Intake::Over => state.held.values().all(|held| !held.is_settled),
        }
    }

    /// The entries that handlers have seen and that are not acknowledged, when all is over.
    pub(crate) fn unacknowledged(&self) -> Vec<Place> {
        let state = self.state();
        let with_handlers = state.held.values().filter(|held| held.is_with_handler);
        state.given_up.iter().copied().chain(with_handlers.map(|held| held.place)).collect()
    }

    pub(crate) fn set_live(&self, is_live: bool) {
        self.state().is_live = is_live;
    }

    pub(crate) fn health(&self) -> SubscriptionHealth {
        let is_live = self.state().is_live && self.intake() == Intake::Open;
        SubscriptionHealth::new(Arc::clone(&self.subscriber), is_live, self.tally.count())
    }
}

impl State {
    fn hold(&mut self, place: Place, first_attempt: u32) -> u64 {
        self.last_tag += 1;
        let held = Held { place, first_attempt, is_with_handler: false, is_settled: false };
        self.held.insert(self.last_tag, held);
        self.last_tag
    }

    fn settle(&mut self, tag: u64) {
        if let Some(held) = self.held.get_mut(&tag) {
            held.is_settled = true;
            held.is_with_handler = false;
        }
    }

    /// What is to be handed out next: what was to come back by now goes before what is new.
    fn next_waiting(&mut self) -> Option<Waiting> {
        match self.delayed.first_entry() {
            Some(first) if first.key().0 <= Instant::now() => Some(first.remove()),
            _ => self.ready.pop_front(),
        }
    }
}

/// Lets go of the state and wakes the consumer, if it waits.
fn wake(mut state: MutexGuard<'_, State>) {
    let consumer = state.consumer.take();
    drop(state);
    if let Some(consumer) = consumer {
        consumer.wake();
    }
}

impl Settle for Inbox {
    /// An acknowledgement is taken note of, and the server told soon after; until it has been, the delivery counts as
    /// in flight. What is to be kept elsewhere is there when the future completes.
    fn settle(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> MaybeReady<'static, Result<(), BackendError>> {
        let tag = delivery.tag();
        match settlement {
            Settlement::Ack if !self.has_group => {
                self.release([tag]);
                self.to_tell.wake();
                MaybeReady::ready(Ok(()))
            }
            Settlement::Ack => {
                let finished = self.finish(tag);
                MaybeReady::ready(finished.map(|()| self.to_tell.add(Tell::Ack { tag })))
            }
            Settlement::Retry { after } if after > IN_PLACE && self.has_group => {
                let (envelope, attempt) =
                    (delivery.envelope().clone(), delivery.attempt().saturating_add(1));
                self.put_away(tag, Kept::Delayed { envelope, attempt, after })
            }
            Settlement::Retry { after } => {
                self.redeliver(delivery, Some(due_after(after)));
                MaybeReady::ready(Ok(()))
            }
            Settlement::DeadLetter(reason) => {
                let letter = DeadLetter::new(Arc::clone(&self.subscriber), delivery, &reason);
                self.put_away(tag, Kept::DeadLetter(Box::new(letter)))
            }
        }
    }

    fn give_back(&self, delivery: &Delivery) {
        self.redeliver(delivery, None);
    }
}
