//! Several loops, and yet the events of one key in order.
//!
//! A key that is being handled is a lane, held by the loop that handles it. A further event with that key is parked in
//! the lane, and the loop that holds it handles it next; so a key that fails and waits keeps its events in order, and
//! the other loops go on with other keys. What is parked is bounded: past that, no more is taken until a lane moves on.

use std::{
    collections::{HashMap, VecDeque},
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard},
};

use aury_events_backends::{Consumer, Delivery, kit::lock};
use tokio::sync::Semaphore;

use super::{
    panic,
    source::{Alone, Source},
};
use crate::extract::FromEnvelope;

/// How many deliveries may be parked for each loop.
const PARKED: usize = 16;

/// The lanes of one subscription.
pub(super) struct Lanes {
    consumer: tokio::sync::Mutex<Alone>,
    /// By key, what is parked behind the event that is being handled.
    parked: Mutex<HashMap<Arc<str>, VecDeque<Delivery>>>,
    room: Semaphore,
}

impl Lanes {
    pub(super) fn new(consumer: Box<dyn Consumer>, loops: usize) -> Arc<Self> {
        Arc::new(Self {
            consumer: tokio::sync::Mutex::new(Alone(consumer)),
            parked: Mutex::default(),
            room: Semaphore::new(loops * PARKED),
        })
    }

    fn parked(&self) -> MutexGuard<'_, HashMap<Arc<str>, VecDeque<Delivery>>> {
        lock(&self.parked)
    }

    /// Takes the lane of a key, or parks the delivery in it when it is taken.
    fn enter(&self, key: &Arc<str>, delivery: Delivery) -> Option<Delivery> {
        let mut parked = self.parked();
        if let Some(lane) = parked.get_mut(key) {
            lane.push_back(delivery);
            return None;
        }
        parked.insert(Arc::clone(key), VecDeque::new());
        Some(delivery)
    }

    /// The next delivery in a lane that the caller holds; with none, the lane is let go of.
    fn follow(&self, key: &Arc<str>) -> Option<Delivery> {
        let mut parked = self.parked();
        let next = parked.get_mut(key)?.pop_front();
        if next.is_none() {
            parked.remove(key);
        }
        next
    }
}

/// One loop's view of the lanes; `I` is what its handler takes.
pub(super) struct InLanes<I> {
    lanes: Arc<Lanes>,
    /// The lane that this loop holds.
    key: Option<Arc<str>>,
    input: PhantomData<fn() -> I>,
}

impl<I> InLanes<I> {
    pub(super) fn new(lanes: &Arc<Lanes>) -> Self {
        Self { lanes: Arc::clone(lanes), key: None, input: PhantomData }
    }
}

impl<I: FromEnvelope> Source for InLanes<I> {
    async fn next(&mut self) -> Option<Delivery> {
        if let Some(key) = &self.key {
            while let Some(delivery) = self.lanes.follow(key) {
                self.lanes.room.add_permits(1);
                // What was parked too long may be with others by now.
                if !delivery.is_lost() {
                    return Some(delivery);
                }
            }
            self.key = None;
        }
        // Held until the delivery is in its lane: another loop must not overtake it in between.
        let mut consumer = self.lanes.consumer.lock().await;
        loop {
            // There is room for one more before it is taken, so that a cancelled wait loses nothing.
            let room = self.lanes.room.acquire().await.ok()?;
            let delivery = consumer.next().await?;
            let Some(key) = key_of::<I>(&delivery) else {
                return Some(delivery);
            };
            match self.lanes.enter(&key, delivery) {
                Some(delivery) => {
                    self.key = Some(key);
                    return Some(delivery);
                }
                None => room.forget(),
            }
        }
    }
}

/// The key of an event: as its publisher set it, or as its type says. One that cannot be decoded has none, nor has one
/// whose type panics over it.
fn key_of<I: FromEnvelope>(delivery: &Delivery) -> Option<Arc<str>> {
    match delivery.metadata().key() {
        Some(key) => Some(key.into()),
        None => panic::catch(|| Ok(I::key(delivery.envelope()))).ok()?,
    }
}
