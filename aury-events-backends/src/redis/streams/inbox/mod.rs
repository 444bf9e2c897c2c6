//! What one subscriber holds: the deliveries between the server and its handlers.

mod consumer;
mod count;
mod orders;
mod state;
mod suspects;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

pub(super) use crate::kit::Intake;

use self::state::{Choice, Held, Phase, State, Waiting};
pub(super) use self::{
    consumer::StreamConsumer,
    count::DeliveryCount,
    orders::{InHand, Kept, Orders, PutAway, Tell},
    state::{Arrival, Place},
};
use crate::{
    backend::SubscriptionHealth,
    dead_letters::DeadLetter,
    delivery::{Delivery, Settle, Settlement},
    envelope::Envelope,
    error::BackendError,
    in_flight::Tally,
    kit::{IN_PLACE, Parked, Stages, due_after, lock, wake},
    maybe_ready::MaybeReady,
};

/// How many entries may be held beyond the prefetch whose settlement the server has not taken yet: so that no read waits
/// for the answer to an acknowledgement, and no good event for a settlement that is refused.
const SETTLED: usize = 1024;

/// The deliveries of one subscriber in this process, and what is to be told to the server about them.
///
/// An entry of a stream is *held* from the moment it is taken in until the server has taken note of what became of it.
/// It takes room until its handler is done with it; so what is held is the memory by which an entry that the server
/// sends again, because an acknowledgement was lost, is recognised and not handed out again.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) subscriber: Arc<str>,
    limits: Limits,
    /// Whether entries are acknowledged, and long retries wait on the server.
    has_group: bool,
    state: Mutex<State>,
    pub(super) to_tell: Orders<Tell>,
    pub(super) to_put_away: Orders<PutAway>,
    stages: Stages,
    /// Tells the reader that there may be room.
    room: Notify,
    /// Tells that a suspect is wanted.
    wanted: Notify,
    tally: Tally,
}

/// How much an inbox may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How many entries that are not settled.
    pub(super) prefetch: usize,
    /// How many bytes in all. One entry may go beyond it.
    pub(super) bytes: usize,
}

/// What [`Inbox::next`] finds.
pub(super) enum Next {
    Delivery(Delivery),
    /// Nothing yet; maybe something at that time.
    Later(Option<Instant>),
    End,
}

impl Inbox {
    pub(super) fn new(subscriber: Arc<str>, limits: Limits, has_group: bool, tally: Tally) -> Self {
        let limits = Limits { prefetch: limits.prefetch.max(1), ..limits };
        Self {
            subscriber,
            limits,
            has_group,
            state: Mutex::default(),
            to_tell: Orders::default(),
            to_put_away: Orders::default(),
            stages: Stages::default(),
            room: Notify::new(),
            wanted: Notify::new(),
            tally,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step leaves the state half changed.
        lock(&self.state)
    }

    /// Takes in entries, without those that are held already. Gives whether they are here now.
    pub(super) fn take_in(&self, arrivals: impl IntoIterator<Item = Arrival>) -> bool {
        let mut state = self.state();
        if self.intake() >= Intake::Cancelled {
            return false;
        }
        for arrival in arrivals {
            if !state.places.contains(&arrival.place) {
                self.tally.accept();
                self.line_up(&mut state, arrival);
            }
        }
        wake(state);
        true
    }

    fn line_up(&self, state: &mut State, arrival: Arrival) {
        let Arrival { place, envelope, first_attempt, count, is_suspect, bytes } = arrival;
        let held = Held {
            place,
            first_attempt,
            deliveries: count.deliveries(),
            interruptions: count.interruptions(),
            is_suspect: self.has_group && (is_suspect || count.interruptions() > 0),
            is_untold: false,
            bytes,
            phase: Phase::Waiting,
        };
        let attempt = held.attempt();
        state.note_size(bytes);
        let tag = state.hold(held);
        state.line_up(Waiting { tag, envelope, attempt }, false);
    }

    /// Takes in an entry that is no event. Nothing is handed out; it is kept elsewhere, or, when `None`, forgotten. Gives
    /// whether it is here now.
    pub(super) fn take_in_broken(&self, place: Place, kind: Option<Kept>) -> bool {
        let mut state = self.state();
        if self.intake() >= Intake::Cancelled {
            return false;
        }
        if state.places.contains(&place) {
            return true;
        }
        self.tally.accept();
        let tag = state.hold(Held {
            place,
            first_attempt: 1,
            deliveries: 1,
            interruptions: 0,
            is_suspect: false,
            is_untold: false,
            bytes: 0,
            phase: Phase::Settled,
        });
        drop(state);
        match kind {
            Some(kind) => self.to_put_away.add(PutAway::new(tag, kind)),
            None => self.to_tell.add(Tell::Ack { tag }),
        }
        true
    }

    /// Whether an entry is held, be it that only its acknowledgement is outstanding.
    pub(super) fn holds(&self, place: Place) -> bool {
        self.state().places.contains(&place)
    }

    /// Which entry a tag is.
    pub(super) fn place_of(&self, tag: u64) -> Option<Place> {
        self.state().held.get(&tag).map(|held| held.place)
    }

    /// Which entries these tags are, in their order, without those that are not held any more.
    pub(super) fn places_of(&self, tags: &[u64]) -> Vec<Place> {
        let state = self.state();
        tags.iter().filter_map(|tag| state.held.get(tag)).map(|held| held.place).collect()
    }

    /// Takes note that the server knows how often these were delivered.
    pub(super) fn note_told(&self, tags: impl IntoIterator<Item = u64>) {
        let mut state = self.state();
        for tag in tags {
            if let Some(held) = state.held.get_mut(&tag) {
                held.is_untold = false;
            }
        }
        drop(state);
        self.wanted.notify_one();
    }

    /// Lets go of entries: the server has taken note of what became of them.
    pub(super) fn release(&self, tags: impl IntoIterator<Item = u64>) {
        let mut state = self.state();
        let mut count = 0;
        for tag in tags {
            count += usize::from(state.forget(tag));
        }
        drop(state);
        (0..count).for_each(|_| self.tally.settle());
        self.room.notify_one();
        if self.intake() >= Intake::Cancelled {
            // Nothing may be left to wait for.
            self.to_tell.wake();
        }
    }

    /// Takes note that the server has refused a settlement, which is tried again. It holds up nothing, not even the end.
    pub(super) fn note_refused(&self, tag: u64) {
        self.state().set_phase(tag, Phase::Refused);
        self.to_tell.wake();
    }

    /// Has an event wait in this process for its next attempt: the server has refused to keep it until then.
    pub(super) fn park(&self, tag: u64, envelope: Envelope, attempt: u32, due: Instant) {
        let mut state = self.state();
        if self.intake() >= Intake::Cancelled {
            state.set_phase(tag, Phase::Refused);
            drop(state);
            return self.to_tell.wake();
        }
        let Some(held) = state.held.get_mut(&tag) else { return };
        let count = held.begin_attempt(attempt);
        state.set_phase(tag, Phase::Parked);
        state.backlog.add_at(due, Waiting { tag, envelope, attempt }, 0);
        wake(state);
        self.to_tell.add(Tell::Count { tag, count });
    }

    /// Waits until so many entries can be taken in that a round trip pays; gives the number. `None` when nothing more
    /// is to be read. Cancel safe.
    pub(super) async fn wait_for_room(&self) -> Option<usize> {
        loop {
            if self.intake() != Intake::Open {
                return None;
            }
            let (room, is_idle) = {
                let state = self.state();
                (self.room_in(&state), state.is_idle())
            };
            if (room > 0 && is_idle) || room >= self.limits.prefetch.div_ceil(2) {
                return Some(room);
            }
            self.room.notified().await;
        }
    }

    /// How many entries can be read besides so many that are about to be taken in, if a round trip pays. What
    /// [`wait_for_room`](Self::wait_for_room) waits for.
    pub(super) fn room_after(&self, coming: usize) -> Option<usize> {
        let room = self.room_in(&self.state()).saturating_sub(coming);
        let pays = room > 0 && room >= self.limits.prefetch.div_ceil(2);
        (pays && self.intake() == Intake::Open).then_some(room)
    }

    /// How many entries can be read now.
    fn room_in(&self, state: &State) -> usize {
        let Limits { prefetch, bytes } = self.limits;
        let most = prefetch.saturating_add(SETTLED).saturating_sub(state.held.len());
        let room = prefetch.saturating_sub(state.unsettled).min(most);
        state.fitting(room, bytes)
    }

    /// How many entries can be taken over, or taken for another attempt: as many again as are read, so that a backlog
    /// does not keep these out.
    pub(super) fn room_beside(&self) -> usize {
        let state = self.state();
        let Limits { prefetch, bytes } = self.limits;
        let room = prefetch.saturating_mul(2).saturating_sub(state.unsettled).min(prefetch);
        state.fitting(room, bytes.saturating_mul(2))
    }

    /// Gives the next delivery, or has the consumer woken when there may be one.
    pub(super) fn next(self: &Arc<Self>, waker: &Waker) -> Next {
        let mut state = self.state();
        let intake = self.intake();
        if intake >= Intake::Abandoned {
            return Next::End;
        }
        let waiting = match state.next_waiting() {
            Choice::Delivery(waiting) => waiting,
            choice => {
                let is_over = state.backlog.next_due().is_none() && !state.has_suspects();
                if intake == Intake::Cancelled && is_over {
                    return Next::End;
                }
                state.backlog.park(waker);
                let due = state.backlog.next_due();
                drop(state);
                if matches!(choice, Choice::AskFor) {
                    self.wanted.notify_one();
                }
                return Next::Later(due);
            }
        };
        let is_last = state.is_idle();
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
        if self.intake() >= Intake::Abandoned {
            // Its handler was ended by the end of this subscription: that counts as nothing.
            if let Some(place) = state.place_of_out(tag) {
                state.given_up.push(place);
            }
            let was_held = state.forget(tag);
            drop(state);
            if was_held {
                self.tally.settle();
            }
            return self.to_tell.wake();
        }
        let Some(held) = state.held.get_mut(&tag) else { return };
        let count = held.begin_attempt(attempt);
        state.set_phase(tag, Phase::Waiting);
        let waiting = Waiting { tag, envelope: delivery.envelope().clone(), attempt };
        match due {
            Some(due) => state.backlog.add_at(due, waiting, 0),
            None => state.line_up(waiting, true),
        }
        wake(state);
        if self.has_group {
            self.to_tell.add(Tell::Count { tag, count });
        }
    }

    /// Takes note that a handler is done with a delivery, unless nobody would tell the server any more.
    fn finish(&self, tag: u64) -> Result<(), BackendError> {
        if self.intake() == Intake::Over {
            return Err(BackendError::closed());
        }
        let mut state = self.state();
        state.set_phase(tag, Phase::Settled);
        let has_room = self.room_in(&state) >= self.limits.prefetch.div_ceil(2);
        if state.has_suspects() {
            wake(state);
        } else {
            drop(state);
        }
        if has_room {
            self.room.notify_one();
        }
        Ok(())
    }

    /// Has an event kept elsewhere. It is there when the wait is over, or the server has refused it, which is tried
    /// again.
    fn put_away(&self, tag: u64, kind: Kept) -> MaybeReady<'static, Result<(), BackendError>> {
        if let Err(error) = self.finish(tag) {
            return MaybeReady::ready(Err(error));
        }
        let (stored, storing) = oneshot::channel();
        self.to_put_away.add(PutAway { stored: Some(stored), ..PutAway::new(tag, kind) });
        MaybeReady::pending(async { storing.await.map_err(|_| BackendError::closed()) })
    }

    pub(super) fn intake(&self) -> Intake {
        self.stages.current()
    }

    /// Goes on to `intake`, unless it is past it.
    pub(super) fn advance(&self, intake: Intake) {
        if !self.stages.advance(intake) {
            return;
        }
        let mut state = self.state();
        let left = if intake >= Intake::Abandoned {
            state.abandon()
        } else if intake == Intake::Cancelled {
            state.leave_parked()
        } else {
            Vec::new()
        };
        for tag in left {
            if state.forget(tag) {
                self.tally.settle();
            }
        }
        wake(state);
        self.room.notify_one();
        self.wanted.notify_one();
        self.to_tell.wake();
    }

    /// Waits until the intake has come that far. Cancel safe.
    pub(super) async fn reached(&self, intake: Intake) {
        self.stages.reached(intake).await;
    }

    /// Whether there will be no more orders that could be carried out.
    pub(super) fn is_finished(&self) -> bool {
        let state = self.state();
        let mut phases = state.held.values().map(|held| held.phase);
        match self.intake() {
            Intake::Open | Intake::Draining => false,
            Intake::Cancelled | Intake::Abandoned => phases.all(Phase::can_be_left),
            Intake::Closed | Intake::Over => phases.all(|phase| phase != Phase::Settled),
        }
    }

    pub(super) fn set_live(&self, is_live: bool) {
        let mut state = self.state();
        state.is_live = is_live;
        if is_live {
            state.problem = None;
        }
    }

    /// Takes note that nothing can be read, and why.
    pub(super) fn interrupt(&self, problem: &str) {
        let mut state = self.state();
        state.is_live = false;
        state.problem = Some(problem.into());
    }

    pub(super) fn health(&self) -> SubscriptionHealth {
        let (is_live, problem) = {
            let state = self.state();
            (state.is_live, state.problem.clone())
        };
        let is_live = is_live && self.intake() == Intake::Open;
        SubscriptionHealth::new(Arc::clone(&self.subscriber), is_live, self.tally.count())
            .with_problem(problem)
    }
}

impl Held {
    /// The number of the attempt that the next handler is given.
    fn attempt(&self) -> u32 {
        self.first_attempt.saturating_add(self.deliveries.max(1) - 1)
    }

    /// Goes on to another attempt here; gives the count that the server is to be told of.
    fn begin_attempt(&mut self, attempt: u32) -> DeliveryCount {
        self.deliveries = attempt.saturating_sub(self.first_attempt).saturating_add(1);
        self.is_untold = true;
        DeliveryCount::of(self.deliveries, self.interruptions)
    }
}

impl Parked for State {
    fn take_consumer(&mut self) -> Option<Waker> {
        self.backlog.take_consumer()
    }
}

impl Settle for Inbox {
    /// An acknowledgement is taken note of, and the server told soon after; until it has been, the delivery counts as
    /// in flight. What is to be kept elsewhere is there when the future completes, or stays where it is until the server
    /// takes it.
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
