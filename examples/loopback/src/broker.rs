//! The broker: queues that outlive the connections to them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, atomic::AtomicU64},
    task::Waker,
};

use aury_events_backends::{DeadLetter, Envelope, SubscriptionSpec, kit::lock};
use tokio::time::Instant;

/// What all connections to one URL share that have one prefix.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    pub(crate) queues: Mutex<Vec<Arc<Queue>>>,
    /// What is published with a delay that has not passed.
    pub(crate) delayed: Mutex<Vec<(Instant, Envelope)>>,
    pub(crate) dead_letters: Mutex<Vec<Kept>>,
    /// How many dead letters there were, to number them.
    pub(crate) buried: AtomicU64,
}

/// A dead letter and the queue that it comes from.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) number: u64,
    pub(crate) letter: DeadLetter,
    pub(crate) queue: Arc<Queue>,
}

/// Where events wait for a subscriber of a service, or for one process if it is a broadcast.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) spec: SubscriptionSpec,
    pub(crate) state: Mutex<QueueState>,
}

#[derive(Debug, Default)]
pub(crate) struct QueueState {
    pub(crate) waiting: VecDeque<Waiting>,
    pub(crate) consumers: Vec<Waker>,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) envelope: Envelope,
    pub(crate) attempt: u32,
    /// When it may be delivered.
    pub(crate) due: Instant,
}

impl Broker {
    /// The queue of a subscription. Processes of one service share it, unless each is to get every event.
    pub(crate) fn queue(&self, spec: SubscriptionSpec) -> Arc<Queue> {
        let mut queues = lock(&self.queues);
        let is_same = |queue: &&Arc<Queue>| {
            let known = &queue.spec;
            !spec.broadcast && known.service == spec.service && known.subscriber == spec.subscriber
        };
        if let Some(queue) = queues.iter().find(is_same) {
            return Arc::clone(queue);
        }
        queues.push(Arc::new(Queue { spec, state: Mutex::default() }));
        queues.last().map(Arc::clone).expect("it has just been added")
    }

    /// Adds an event to every queue that listens to it.
    pub(crate) fn deliver(&self, envelope: &Envelope) {
        let name = envelope.metadata().name();
        for queue in lock(&self.queues).iter().filter(|it| it.spec.topic.matches(name)) {
            let (envelope, due) = (envelope.clone(), Instant::now());
            queue.change(|waiting| waiting.push_back(Waiting { envelope, attempt: 1, due }));
        }
    }

    /// Has an event delivered later, by whichever consumer looks first when its time has come.
    pub(crate) fn deliver_at(&self, due: Instant, envelope: Envelope) {
        lock(&self.delayed).push((due, envelope));
        // They have to know when to look.
        lock(&self.queues).iter().for_each(|queue| queue.change(|_| {}));
    }

    /// Delivers what is due; gives when the next one is.
    pub(crate) fn deliver_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut due: Vec<_> = lock(&self.delayed).extract_if(.., |(due, _)| *due <= now).collect();
        due.sort_by_key(|(due, _)| *due);
        due.iter().for_each(|(_, envelope)| self.deliver(envelope));
        lock(&self.delayed).iter().map(|(due, _)| *due).min()
    }
}

impl Queue {
    /// Changes what waits, and lets the consumers know.
    pub(crate) fn change(&self, change: impl FnOnce(&mut VecDeque<Waiting>)) {
        let mut state = lock(&self.state);
        change(&mut state.waiting);
        let consumers = std::mem::take(&mut state.consumers);
        drop(state);
        consumers.into_iter().for_each(Waker::wake);
    }
}
