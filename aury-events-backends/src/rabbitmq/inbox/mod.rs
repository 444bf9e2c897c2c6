//! What one subscriber holds: the deliveries between the broker and its handlers.
//!
//! Suspects (see [`suspects`](super::suspects)) are handed out in [`rounds`], apart from everything else.

mod consumer;
mod outlived;
mod rounds;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use lapin::types::ShortString;
use tokio::{sync::Notify, time::Instant};

pub(super) use self::consumer::InboxConsumer;
use self::{
    outlived::{Known, Lost, Outlived},
    rounds::Rounds,
};
use super::{
    acks::Key,
    session::{Lane, Session},
};
pub(super) use crate::kit::Intake;
use crate::{
    backend::SubscriptionHealth,
    delivery::Delivery,
    envelope::Envelope,
    in_flight::Tally,
    kit::{Alarm, Backlog, Parked, Stages, due_after, lock, wake},
};

/// For how long what is new waits for suspects that were there before.
const EXPECTED: Duration = Duration::from_secs(2);

/// For how long a settlement that the broker refused is shown in the health of its subscription.
const SHOWN: Duration = Duration::from_secs(60);

/// The deliveries of one subscriber in this process.
pub(super) struct Inbox {
    pub(super) subscriber: Arc<str>,
    /// Whether its queue ends with the connection: what is here is then the only copy.
    is_own: bool,
    state: Mutex<State>,
    stages: Stages,
    /// Tells that a round of suspects may begin.
    may_begin: Notify,
    tally: Tally,
}

#[derive(Default)]
struct State {
    /// Without suspects. RabbitMQ sends as many messages as the prefetch allows, whatever their size, so that this bounds
    /// it, in number; with it, how many bytes wait is known.
    waiting: Backlog<Waiting>,
    suspects: Rounds,
    /// How many messages this process has moved to the suspects that have not come from there. What is new has to wait
    /// for them for a while, so that order is kept where nobody else takes them.
    expected_suspects: usize,
    /// When that number has last changed.
    expected_since: Option<Instant>,
    /// How many deliveries other than suspects are with handlers.
    handed_out: usize,
    outlived: Outlived,
    /// The channel by which deliveries come now.
    session: Option<Arc<Session>>,
    /// Whether nothing more comes in.
    is_complete: bool,
    /// What is wrong with the subscription.
    problem: Option<Arc<str>>,
    /// A settlement that the broker refused, and when.
    refusal: Option<(Arc<str>, Instant)>,
}

/// A delivery that waits to be handed out.
pub(super) struct Waiting {
    pub(super) envelope: Envelope,
    pub(super) attempt: u32,
    pub(super) tag: u64,
    /// When it may be handed out, if not now.
    pub(super) due: Option<Instant>,
    pub(super) key: Option<Key>,
    pub(super) session: Arc<Session>,
}

/// What becomes of a delivery that comes in.
pub(super) enum TakenIn {
    /// It is handed out, or kept until it is known what became of it.
    Kept,
    /// It was handled before.
    Settled,
    /// It was delivered before, and nobody here knows what happened then.
    Suspect(Waiting),
}

impl Inbox {
    pub(super) fn new(subscriber: Arc<str>, is_own: bool, tally: Tally) -> Self {
        let (state, may_begin) = (Mutex::default(), Notify::new());
        Self { subscriber, is_own, state, stages: Stages::default(), may_begin, tally }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step leaves the state half changed.
        lock(&self.state)
    }

    pub(super) fn is_own(&self) -> bool {
        self.is_own
    }

    /// Takes in a delivery; `again` says that it has been delivered before.
    pub(super) fn take_in(&self, mut waiting: Waiting, again: bool) -> TakenIn {
        let is_suspect = waiting.session.lane == Lane::Suspects;
        let mut state = self.state();
        if is_suspect {
            state.expect_one_less();
        }
        if let Some(key) = waiting.key.clone().filter(|_| again || is_suspect) {
            match state.outlived.recognise(&key, waiting.session.lane) {
                Known::Settled => return TakenIn::Settled,
                Known::Busy => {
                    self.tally.accept();
                    if let Some(other) = state.outlived.keep(&key, waiting) {
                        // It was published twice; the copy that is kept now stands for both.
                        other.session.acks.settle(other.tag);
                        self.tally.settle();
                    }
                    return TakenIn::Kept;
                }
                Known::Waited(attempt, due) => {
                    waiting.attempt = waiting.attempt.max(attempt);
                    waiting.due = due;
                }
                Known::Unknown if again && !is_suspect && !self.is_own => {
                    state.expect_one_more();
                    return TakenIn::Suspect(waiting);
                }
                Known::Unknown => {}
            }
        }
        self.tally.accept();
        state.enqueue(waiting);
        wake(state);
        TakenIn::Kept
    }

    /// Takes in a suspect that cannot be handled alone.
    pub(super) fn take_in_anyway(&self, waiting: Waiting) {
        let mut state = self.state();
        state.expect_one_less();
        state.line_up(None, waiting);
        wake(state);
    }

    /// Takes back a delivery, to be handed out once more at that time.
    pub(super) fn take_back(&self, delivery: &Delivery, session: &Arc<Session>, after: Duration) {
        let (envelope, attempt) = (delivery.envelope().clone(), delivery.attempt());
        let mut state = self.state();
        state.handed_in(session.lane);
        self.add_again(state, session, delivery.tag(), envelope, attempt, after);
    }

    /// Has a delivery wait here that a handler has failed at, to be handed out as the next attempt.
    pub(super) fn wait_in_place(
        &self,
        session: &Arc<Session>,
        tag: u64,
        envelope: Envelope,
        attempt: u32,
        after: Duration,
    ) {
        self.add_again(self.state(), session, tag, envelope, attempt, after);
    }

    fn add_again(
        &self,
        mut state: MutexGuard<'_, State>,
        session: &Arc<Session>,
        tag: u64,
        envelope: Envelope,
        attempt: u32,
        after: Duration,
    ) {
        let mut waiting = Waiting {
            envelope,
            attempt: attempt.saturating_add(1),
            tag,
            due: Some(due_after(after)),
            key: session.acks.key(tag),
            session: Arc::clone(session),
        };
        if session.acks.is_lost() && !self.is_own {
            // It is the broker's; if it is here once more already, that is what waits.
            self.tally.settle();
            let lost = waiting.key.as_ref().and_then(|key| state.outlived.done(key));
            let Some(again) = lost.and_then(|lost| lost.again) else {
                state.outlived.waited(waiting);
                return wake(state);
            };
            waiting = Waiting { attempt: waiting.attempt, due: waiting.due, ..again };
        }
        if self.intake() >= Intake::Abandoned {
            wake(state);
            return self.return_to_broker(waiting);
        }
        state.enqueue(waiting);
        wake(state);
    }

    fn return_to_broker(&self, waiting: Waiting) {
        waiting.session.acks.give_back(waiting.tag);
        self.tally.settle();
    }

    /// Counts in a delivery that is not handed out.
    pub(super) fn accept(&self) {
        self.tally.accept();
    }

    /// Takes note that a handler is done with a delivery that is moved elsewhere now.
    pub(super) fn handed_in(&self, lane: Lane) {
        let mut state = self.state();
        state.handed_in(lane);
        wake(state);
    }

    /// Counts out a delivery that a handler was given and that is settled.
    pub(super) fn handled(&self, lane: Lane, key: Option<Key>) {
        let mut state = self.state();
        let is_free = state.handed_in(lane);
        self.count_out(&mut state, key);
        if is_free {
            wake(state);
        }
    }

    /// Counts out a delivery that was settled otherwise.
    pub(super) fn settled(&self, key: Option<Key>) {
        self.count_out(&mut self.state(), key);
    }

    /// Counts out a delivery that was moved to the suspects.
    pub(super) fn suspected(&self, key: Option<Key>) {
        self.count_out(&mut self.state(), key.map(|key| key.as_suspect()));
    }

    /// Remembers a message by its key; one that came again meanwhile is settled, too.
    fn count_out(&self, state: &mut State, key: Option<Key>) {
        if let Some(key) = key {
            let again = state.outlived.done(&key).and_then(|lost| lost.again);
            state.outlived.settled(key);
            if let Some(again) = again {
                again.session.acks.settle(again.tag);
                self.tally.settle();
            }
        }
        self.tally.settle();
    }

    /// Counts out a delivery that a handler has dropped; the broker delivers it again, to be the attempt of that number.
    pub(super) fn dropped(&self, lane: Lane, key: Option<Key>, next: u32) {
        let mut state = self.state();
        state.handed_in(lane);
        if let Some(key) = key {
            match state.outlived.done(&key).and_then(|lost| lost.again) {
                Some(again) => state.enqueue(Waiting { attempt: again.attempt.max(next), ..again }),
                None => state.outlived.returned(key, next),
            }
        }
        wake(state);
        self.tally.settle();
    }

    /// Whether a delivery whose channel was lost has come here again.
    pub(super) fn has_again(&self, key: Option<Key>) -> bool {
        key.is_some_and(|key| self.state().outlived.has_again(&key))
    }

    /// Counts out a delivery whose channel was lost before it could be moved elsewhere.
    pub(super) fn move_failed(&self, key: Option<Key>) {
        let mut state = self.state();
        if let Some(Lost { again: Some(again), .. }) =
            key.as_ref().and_then(|key| state.outlived.done(key))
        {
            state.enqueue(again);
        }
        wake(state);
        self.tally.settle();
    }

    /// Counts out a delivery whose move elsewhere was given up. It comes again, and is no suspect then.
    pub(super) fn given_back(&self, key: Option<Key>) {
        if let Some(key) = key {
            // Its attempt goes along with the message.
            self.state().outlived.returned(key, 1);
        }
        self.tally.settle();
    }

    /// Counts out a delivery that went back to the broker before a handler was given it.
    pub(super) fn returned(&self) {
        self.tally.settle();
    }

    fn next(&self, alarm: &mut Alarm, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let mut state = self.state();
        if self.intake() >= Intake::Closed {
            return Poll::Ready(None);
        }
        match state.next() {
            Next::Delivery(waiting) => {
                drop(state);
                let Waiting { envelope, attempt, tag, session, .. } = waiting;
                return Poll::Ready(Some(Delivery::new(envelope, attempt, session, tag)));
            }
            Next::Begin => self.may_begin.notify_one(),
            Next::Nothing if state.is_complete && state.is_empty() => return Poll::Ready(None),
            Next::Nothing => {}
        }
        state.waiting.park(cx.waker());
        let due = state.due();
        drop(state);
        if let Some(due) = due {
            alarm.set(due, cx);
        }
        // There is nothing to wait for that it could be told together with.
        self.flush();
        Poll::Pending
    }

    /// Waits until a round of suspects may begin. Cancel safe.
    pub(super) async fn may_begin(&self) {
        self.may_begin.notified().await;
    }

    /// The suspects that may begin a round: their numbers on their channel, in order.
    pub(super) fn beginning(&self) -> Option<Vec<u64>> {
        self.state().suspects.beginning()
    }

    /// Has suspects handed out that are on record as begun.
    pub(super) fn begun(&self, tags: &[u64]) {
        let mut state = self.state();
        state.suspects.begin(tags);
        wake(state);
    }

    /// Takes out a suspect that must not begin. It still counts as in flight.
    pub(super) fn condemned(&self, tag: u64) -> Option<Waiting> {
        let mut state = self.state();
        let condemned = state.suspects.condemn(tag);
        wake(state);
        condemned
    }

    pub(super) fn intake(&self) -> Intake {
        self.stages.current()
    }

    /// Goes on to a later stage.
    pub(super) fn advance(&self, to: Intake) {
        let state = self.state();
        self.stages.advance(to);
        wake(state);
        if to >= Intake::Abandoned {
            self.empty();
        }
    }

    /// Tells the broker what was settled.
    fn flush(&self) {
        let session = self.state().session.clone();
        if let Some(session) = session {
            session.acks.flush();
        }
    }

    /// Returns what waits to the broker.
    fn empty(&self) {
        let mut state = self.state();
        let mut left = state.waiting.take_all();
        left.extend(state.suspects.take_all());
        drop(state);
        for waiting in left {
            self.return_to_broker(waiting);
        }
    }

    /// Takes note that nothing more comes in: what was on its way when the subscription was cancelled is here.
    pub(super) fn complete(&self) {
        let mut state = self.state();
        state.is_complete = true;
        wake(state);
    }

    /// Lets go of the channels: the subscription has ended.
    pub(super) fn end(&self) {
        let session = self.state().session.take();
        drop(session);
        self.complete();
    }

    /// Waits until the stage is not that one any more. Cancel safe.
    pub(super) async fn intake_beyond(&self, stage: Intake) {
        self.stages.beyond(stage).await;
    }

    /// Deliveries come by this channel from now on.
    pub(super) fn begin(&self, session: Arc<Session>) {
        let mut state = self.state();
        state.session = Some(session);
        state.problem = None;
    }

    /// No deliveries come for the moment, for that reason.
    pub(super) fn interrupted(&self, problem: impl Into<Arc<str>>) {
        let mut state = self.state();
        state.session = None;
        state.problem = Some(problem.into());
    }

    /// A channel is lost, and with it what waits here: the broker delivers it again.
    pub(super) fn lose(&self, session: &Arc<Session>) {
        let acks = &session.acks;
        acks.lose();
        if self.is_own {
            // There is no other copy.
            return;
        }
        let mut state = self.state();
        state.outlived.begin_loss();
        let is_lost = |waiting: &Waiting| Arc::ptr_eq(&waiting.session.acks, acks);
        let mut lost = Vec::new();
        for waiting in state.waiting.take_all() {
            if is_lost(&waiting) {
                lost.push(waiting);
            } else {
                state.enqueue(waiting);
            }
        }
        if session.lane == Lane::Suspects {
            lost.extend(state.suspects.take_all());
        }
        let mut kept = 0;
        for again in state.outlived.again() {
            if again.as_ref().is_some_and(is_lost) {
                *again = None;
                kept += 1;
            }
        }
        for _ in 0..lost.len() + kept {
            self.tally.settle();
        }
        for waiting in lost {
            state.outlived.waited(waiting);
        }
        for key in acks.open_keys() {
            state.outlived.busy(key);
        }
        wake(state);
    }

    /// Takes note of a settlement that the broker has refused, for health to show.
    pub(super) fn note_refusal(&self, refusal: impl Into<Arc<str>>) {
        self.state().refusal = Some((refusal.into(), Instant::now()));
    }

    /// The queue that it has for this process alone, if it has one now.
    pub(super) fn own_queue(&self) -> Option<ShortString> {
        let state = self.state();
        let session = state.session.as_ref().filter(|_| self.is_own)?;
        Some(session.queue.clone())
    }

    /// Whether a handler has a delivery.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.state();
        state.handed_out + state.suspects.out() > 0
    }

    /// Whether there is nothing left to do for it, nor to be told of it: it was to end.
    pub(super) fn has_ended(&self) -> bool {
        self.intake() > Intake::Open && self.tally.count() == 0
    }

    pub(super) fn health(&self) -> SubscriptionHealth {
        let state = self.state();
        let is_live = state.session.is_some() && self.intake() == Intake::Open;
        let refusal = state.refusal.as_ref().filter(|(_, since)| since.elapsed() < SHOWN);
        let problem = state.problem.clone().or_else(|| refusal.map(|(text, _)| Arc::clone(text)));
        SubscriptionHealth::new(Arc::clone(&self.subscriber), is_live, self.tally.count())
            .with_problem(problem)
    }
}

/// What a consumer is to do next.
enum Next {
    Delivery(Waiting),
    /// It waits for suspects, of which a round may begin now.
    Begin,
    Nothing,
}

impl State {
    /// Adds a delivery to those that wait.
    fn enqueue(&mut self, waiting: Waiting) {
        if waiting.session.lane == Lane::Suspects {
            return self.suspects.add(waiting);
        }
        self.line_up(waiting.due, waiting);
    }

    fn line_up(&mut self, due: Option<Instant>, waiting: Waiting) {
        let bytes = waiting.envelope.payload().size();
        match due {
            Some(due) => self.waiting.add_at(due, waiting, bytes),
            None => self.waiting.add(waiting, bytes),
        }
    }

    /// What is to be handed out next: suspects; then what was to come back by now; then what is new.
    fn next(&mut self) -> Next {
        if let Some(next) = self.suspects.next(self.handed_out) {
            return next;
        }
        if self.expects_suspects() {
            return Next::Nothing;
        }
        match self.waiting.pop() {
            Some(waiting) => {
                self.handed_out += 1;
                Next::Delivery(waiting)
            }
            None => Next::Nothing,
        }
    }

    /// When there is something to hand out, if not now.
    fn due(&self) -> Option<Instant> {
        if !self.suspects.is_idle() {
            return self.suspects.due();
        }
        match self.expected_suspects {
            0 => self.waiting.next_due(),
            _ => self.expected_since.map(|since| since + EXPECTED),
        }
    }

    fn expect_one_more(&mut self) {
        self.expected_suspects += 1;
        self.expected_since = Some(Instant::now());
    }

    fn expect_one_less(&mut self) {
        self.expected_suspects = self.expected_suspects.saturating_sub(1);
        self.expected_since = Some(Instant::now());
    }

    /// Whether suspects are yet to come, which were there before what waits here.
    fn expects_suspects(&mut self) -> bool {
        if self.expected_suspects == 0 {
            return false;
        }
        let is_over = self.expected_since.is_none_or(|since| since.elapsed() >= EXPECTED);
        if is_over {
            // Another process takes them.
            self.expected_suspects = 0;
        }
        !is_over
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.suspects.is_idle()
    }

    /// A handler is done with a delivery. Gives whether others may have waited for that.
    fn handed_in(&mut self, lane: Lane) -> bool {
        match lane {
            Lane::Main => {
                self.handed_out = self.handed_out.saturating_sub(1);
                self.handed_out == 0 && !self.suspects.is_idle()
            }
            Lane::Suspects => {
                self.suspects.handed_in();
                true
            }
        }
    }
}

impl Parked for State {
    fn take_consumer(&mut self) -> Option<Waker> {
        self.waiting.take_consumer()
    }
}
