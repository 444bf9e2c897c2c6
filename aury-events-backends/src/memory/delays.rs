//! Events that are published with a delay.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, RwLock},
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{NOBODY, offer, routes::Routes};
use crate::{
    backend::{Origin, Outgoing},
    error::BackendError,
    in_flight::Tally,
    kit::{Delayed, NobodyListens, TaskName, Tasks, due_after, lock, write},
};

/// How many events a bus holds whose delay has not passed.
const CAPACITY: usize = 65_536;

/// Holds events until their delay has passed, and then hands them to those who listen to them.
///
/// They count as in flight meanwhile. The task that waits runs from the first of them on, and ends with its owner.
#[derive(Debug)]
pub(super) struct Delays {
    waiting: Arc<Waiting>,
    task: Tasks,
}

struct Waiting {
    routes: Arc<RwLock<Routes>>,
    state: Mutex<State>,
    /// Told when another one is the first to come.
    changed: Notify,
    tally: Tally,
    nobody_listens: Arc<NobodyListens>,
}

#[derive(Default)]
struct State {
    events: Delayed<Outgoing>,
    is_closed: bool,
}

impl Delays {
    pub(super) fn new(
        routes: Arc<RwLock<Routes>>,
        tally: Tally,
        nobody_listens: Arc<NobodyListens>,
    ) -> Self {
        let (state, changed) = (Mutex::default(), Notify::new());
        let waiting = Waiting { routes, state, changed, tally, nobody_listens };
        Self { waiting: Arc::new(waiting), task: Tasks::default() }
    }

    /// Takes an event that has a delay. To be called inside a runtime.
    pub(super) fn add(&self, event: Outgoing) -> Result<(), BackendError> {
        self.waiting.add(event)?;
        // It ends early with the runtime that it was started in.
        if self.task.is_empty() {
            let name = TaskName::of_bus("holds delayed events", "memory");
            self.task.spawn(name, Arc::clone(&self.waiting), |waiting: &mut Arc<Waiting>| {
                Box::pin(Arc::clone(waiting).run())
            })?;
        }
        Ok(())
    }

    /// How many events wait.
    pub(super) fn count(&self) -> u64 {
        self.waiting.tally.count()
    }

    /// Takes nothing more, and drops what waits.
    pub(super) async fn close(&self) {
        self.waiting.close();
        self.task.close().await;
    }
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn add(&self, event: Outgoing) -> Result<(), BackendError> {
        let due = due_after(event.delay.unwrap_or_default());
        let mut state = self.state();
        if state.is_closed {
            return Err(BackendError::closed());
        }
        if state.events.len() == CAPACITY {
            let operation = format!("publish {} with a delay", event.envelope.metadata().name());
            return Err(BackendError::other(operation, format!("{CAPACITY} events wait already")));
        }
        let is_first = state.events.next().is_none_or(|next| due < next);
        self.tally.accept_under_lock();
        state.events.add(due, event);
        drop(state);
        if is_first {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Goes on for ever; to be aborted in the end.
    async fn run(self: Arc<Self>) {
        loop {
            while let Some(event) = self.pop() {
                self.hand_out(event);
                self.tally.settle();
            }
            let next = self.state().events.next();
            match next {
                None => self.changed.notified().await,
                // Either way, it is time to look again.
                Some(due) => _ = timeout_at(due, self.changed.notified()).await,
            }
        }
    }

    fn pop(&self) -> Option<Outgoing> {
        self.state().events.pop(Instant::now())
    }

    /// Hands an event to those who listen to it now. It has waited long enough: it takes no place in their queues, as
    /// many as may be here.
    fn hand_out(&self, event: Outgoing) {
        let mut routes = write(&self.routes);
        let name = event.envelope.metadata().name();
        let queues = routes.resolve(name);
        drop(routes);
        if queues.is_empty() {
            // It is too late to tell the publisher.
            let _ = self.nobody_listens.note(name.as_str(), NOBODY);
        }
        offer(&queues, Outgoing { origin: Origin::Handler, ..event });
    }

    fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let left = state.events.clear();
        drop(state);
        (0..left).for_each(|_| self.tally.settle());
        if left > 0 {
            tracing::warn!(events = left, "the bus is closed before their delay has passed");
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("events", &self.tally.count()).finish_non_exhaustive()
    }
}
