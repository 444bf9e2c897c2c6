//! Acknowledgements: what was settled is told to the broker in batches.
//!
//! The deliveries of a channel are numbered from 1, and one `basic.ack` with `multiple` covers all up to a number. So
//! what has been settled without a gap costs one frame, and only what was settled out of order costs one each. Nobody
//! waits: AMQP does not answer an acknowledgement, so that a lost one is only known by its message coming again.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Waker},
    time::Duration,
};

use lapin::{
    Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions},
};
use tokio::{sync::Notify, time::Instant};

use crate::{envelope::EventId, kit::lock};

/// How long what was settled may wait for company.
pub(super) const LINGER: Duration = Duration::from_millis(10);

/// By what a message is recognised when it is delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    event: EventId,
    /// Which copy of the event it is.
    copy: u64,
    /// Of its body: others may give one id to many messages.
    digest: u64,
}

impl Key {
    pub(super) fn new(event: EventId, copy: u64, body: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(body);
        Self { event, copy, digest: hasher.finish() }
    }

    /// A number by which every process knows the message, never 0.
    pub(super) fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish().max(1)
    }

    /// By what it is recognised that a message was moved to the suspects: there it is not settled yet.
    pub(super) fn as_suspect(&self) -> Self {
        Self { copy: !self.copy, ..self.clone() }
    }
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
    /// Whether a delivery was given back.
    has_given_back: AtomicBool,
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
    Open(Opened),
    Settled,
    /// The broker has been told.
    Told,
}

/// A delivery that is not settled.
struct Opened {
    /// What it is recognised by, if it can be.
    key: Option<Key>,
    /// As it came, in case that it has to be sent elsewhere.
    message: Arc<Delivery>,
}

impl Acks {
    /// Tells the broker when `batch` deliveries are settled, or earlier.
    pub(super) fn new(channel: Channel, batch: usize) -> Self {
        let state = State {
            deliveries: VecDeque::new(),
            first: 1,
            untold: 0,
            open: 0,
            flushed: Instant::now(),
        };
        Self {
            channel,
            batch,
            state: Mutex::new(state),
            changed: Notify::new(),
            is_lost: AtomicBool::new(false),
            has_given_back: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step leaves the state half changed.
        lock(&self.state)
    }

    /// Takes note of a delivery.
    pub(super) fn opened(&self, key: Option<Key>, message: Arc<Delivery>) {
        let mut state = self.state();
        debug_assert_eq!(message.delivery_tag, state.first + state.deliveries.len() as u64);
        state.open += 1;
        state.deliveries.push_back(Status::Open(Opened { key, message }));
    }

    /// The message of a delivery that is not settled.
    pub(super) fn message(&self, tag: u64) -> Option<Arc<Delivery>> {
        let state = self.state();
        state.opened(tag).map(|opened| Arc::clone(&opened.message))
    }

    /// What a delivery is recognised by that is not settled.
    pub(super) fn key(&self, tag: u64) -> Option<Key> {
        self.state().opened(tag)?.key.clone()
    }

    /// What the deliveries are recognised by that are not settled.
    pub(super) fn open_keys(&self) -> Vec<Key> {
        let state = self.state();
        let keys = state.deliveries.iter().filter_map(|delivery| match delivery {
            Status::Open(opened) => opened.key.clone(),
            Status::Settled | Status::Told => None,
        });
        keys.collect()
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

    /// Has the broker deliver it again; gives what it is recognised by.
    pub(super) fn give_back(&self, tag: u64) -> Option<Key> {
        self.has_given_back.store(true, SeqCst);
        self.refuse(tag, true)
    }

    /// Has its queue put it away by itself: to the dead letters, as queues are declared. Gives what it is recognised by.
    pub(super) fn reject(&self, tag: u64) -> Option<Key> {
        self.refuse(tag, false)
    }

    fn refuse(&self, tag: u64, requeue: bool) -> Option<Key> {
        let mut state = self.state();
        let key = state.close(tag, Status::Told)?;
        if !self.is_lost() {
            let options = BasicNackOptions { multiple: false, requeue };
            fire(self.channel.basic_nack(tag, options));
        }
        let is_over = state.open == 0;
        drop(state);
        if is_over {
            self.changed.notify_one();
        }
        key
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

    /// Whether all deliveries are settled, and none was given back.
    pub(super) fn are_all_done_with(&self) -> bool {
        self.is_over() && !self.has_given_back.load(SeqCst)
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
    fn opened(&self, tag: u64) -> Option<&Opened> {
        let index = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        match self.deliveries.get(index)? {
            Status::Open(opened) => Some(opened),
            Status::Settled | Status::Told => None,
        }
    }

    /// Ends an open delivery.
    fn close(&mut self, tag: u64, status: Status) -> Option<Option<Key>> {
        let index = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        let delivery = self.deliveries.get_mut(index)?;
        if !matches!(delivery, Status::Open(_)) {
            return None;
        }
        let Status::Open(opened) = std::mem::replace(delivery, status) else { return None };
        self.open -= 1;
        Some(opened.key)
    }
}

/// Hands a frame to the connection, which needs no more than one poll, and does not wait until it is written. When it
/// fails, the channel is gone, which is noticed elsewhere.
fn fire(sending: impl Future<Output = lapin::Result<()>>) {
    let _ = pin!(sending).poll(&mut Context::from_waker(Waker::noop()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_number_wherever_it_is_read_and_another_copy_has_another() {
        let event: EventId = "o-1".parse().unwrap();
        let number = |copy, body: &[u8]| Key::new(event.clone(), copy, body).number();
        assert_eq!(number(1, b"{}"), number(1, b"{}"));
        assert_ne!(number(1, b"{}"), number(2, b"{}"));
        assert_ne!(number(1, b"{}"), number(1, b"[]"));
        assert_ne!(number(0, b""), 0);
    }
}
