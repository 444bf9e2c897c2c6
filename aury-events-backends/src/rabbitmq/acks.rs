//! Acknowledgements: what was settled is told to the broker in batches.
//!
//! The deliveries of a channel are numbered from 1, and one `basic.ack` with `multiple` covers all up to a number. So
//! what has been settled without a gap costs one frame, and only what was settled out of order costs one each. Nobody
//! waits: AMQP does not answer an acknowledgement, so that a lost one is only known by its message coming again.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Waker},
    time::Duration,
};

use lapin::{
    Channel,
    options::{BasicAckOptions, BasicNackOptions},
};
use tokio::{sync::Notify, time::Instant};

use crate::envelope::EventId;

/// How long what was settled may wait for company.
pub(super) const LINGER: Duration = Duration::from_millis(10);

/// By what a message is recognised when it is delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) event: EventId,
    /// Which copy of the event it is.
    pub(super) copy: u64,
}

/// The deliveries of one channel.
pub(super) struct Acks {
    channel: Channel,
    /// How many settled deliveries are told at once.
    batch: usize,
    state: Mutex<State>,
    /// Tells that there is something to flush soon, or that nothing is open any more.
    changed: Notify,
    is_lost: AtomicBool,
}

struct State {
    /// The deliveries from `first` on, up to the latest.
    deliveries: VecDeque<Status>,
    /// The number of the first of them.
    first: u64,
    /// How many are settled and not told.
    untold: usize,
    /// How many are not settled.
    open: usize,
    flushed: Instant,
}

enum Status {
    /// With what it is recognised by, if it can be.
    Open(Option<Key>),
    Settled,
    /// The broker has been told.
    Told,
}

impl Acks {
    /// For a channel that holds at most `prefetch` unacknowledged deliveries.
    pub(super) fn new(channel: Channel, prefetch: u32) -> Self {
        let state = State {
            deliveries: VecDeque::new(),
            first: 1,
            untold: 0,
            open: 0,
            flushed: Instant::now(),
        };
        Self {
            channel,
            batch: (prefetch as usize / 2).clamp(1, 64),
            state: Mutex::new(state),
            changed: Notify::new(),
            is_lost: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a delivery.
    pub(super) fn opened(&self, tag: u64, key: Option<Key>) {
        let mut state = self.state();
        debug_assert_eq!(tag, state.first + state.deliveries.len() as u64);
        state.open += 1;
        state.deliveries.push_back(Status::Open(key));
    }

    /// Takes note that a delivery is done with, to be told soon; gives what it is recognised by.
    pub(super) fn settle(&self, tag: u64) -> Option<Key> {
        let mut state = self.state();
        let key = state.close(tag, Status::Settled)?;
        state.untold += 1;
        let is_first = state.untold == 1;
        if state.untold >= self.batch || state.flushed.elapsed() >= LINGER {
            self.tell(&mut state);
        }
        let is_over = state.open == 0;
        drop(state);
        if is_first || is_over {
            self.changed.notify_one();
        }
        key
    }

    /// Has the broker deliver it again.
    pub(super) fn give_back(&self, tag: u64) {
        let mut state = self.state();
        if state.close(tag, Status::Told).is_none() {
            return;
        }
        if !self.is_lost() {
            let options = BasicNackOptions { multiple: false, requeue: true };
            fire(self.channel.basic_nack(tag, options));
        }
        let is_over = state.open == 0;
        drop(state);
        if is_over {
            self.changed.notify_one();
        }
    }

    /// Tells the broker what has been settled.
    pub(super) fn flush(&self) {
        self.tell(&mut self.state());
    }

    fn tell(&self, state: &mut State) {
        state.flushed = Instant::now();
        if state.untold == 0 {
            return;
        }
        state.untold = 0;
        let mut up_to = None;
        while let Some(Status::Settled | Status::Told) = state.deliveries.front() {
            if let Some(Status::Settled) = state.deliveries.pop_front() {
                up_to = Some(state.first);
            }
            state.first += 1;
        }
        if self.is_lost() {
            return;
        }
        // Under the lock, so that the broker is told in order.
        if let Some(tag) = up_to {
            fire(self.channel.basic_ack(tag, BasicAckOptions { multiple: true }));
        }
        for (delivery, tag) in state.deliveries.iter_mut().zip(state.first..) {
            if let Status::Settled = delivery {
                *delivery = Status::Told;
                fire(self.channel.basic_ack(tag, BasicAckOptions { multiple: false }));
            }
        }
    }

    /// Whether the channel is gone, and with it whatever was not told.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(SeqCst)
    }

    /// Takes note that the channel is gone: the broker delivers again what it holds as unsettled.
    pub(super) fn lose(&self) {
        self.is_lost.store(true, SeqCst);
    }

    /// Whether all deliveries are settled.
    pub(super) fn is_over(&self) -> bool {
        self.state().open == 0
    }

    /// Waits until there is something to flush after [`LINGER`], or until nothing is open any more. Cancel safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }
}

impl State {
    /// Ends an open delivery.
    fn close(&mut self, tag: u64, status: Status) -> Option<Option<Key>> {
        let index = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        let delivery = self.deliveries.get_mut(index)?;
        if !matches!(delivery, Status::Open(_)) {
            return None;
        }
        let Status::Open(key) = std::mem::replace(delivery, status) else { return None };
        self.open -= 1;
        Some(key)
    }
}

/// Hands a frame to the connection, which needs no more than one poll, and does not wait until it is written. When it
/// fails, the channel is gone, which is noticed elsewhere.
fn fire(sending: impl Future<Output = lapin::Result<()>>) {
    let _ = pin!(sending).poll(&mut Context::from_waker(Waker::noop()));
}
