//! The Tokio runtime that the buses run on, which may end before they do: with a `#[tokio::test]`, for one.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Waker},
};

use tokio::{sync::watch, task::AbortHandle};

use super::Core;

/// What is known of the runtime that the buses run on.
#[derive(Debug)]
pub(crate) struct AsyncRuntime {
    /// For the guard, when there is one.
    core: Arc<OnceLock<Weak<Core>>>,
    has_ended: watch::Sender<bool>,
    /// How many deliveries each subscriber had not settled then, by its id.
    left: OnceLock<Vec<(String, u64)>>,
    /// Runs as long as the runtime does.
    guard: AbortHandle,
    /// Whether the guard is ended by us.
    is_over: AtomicBool,
}

impl AsyncRuntime {
    /// Watches the current runtime. Called before anything else is spawned: most runtimes end their oldest tasks first, so
    /// that what the others held is counted before they let go of it.
    pub(crate) fn watch() -> Self {
        let core = Arc::<OnceLock<_>>::default();
        let guard = Guard(Arc::clone(&core));
        let task = tokio::spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        Self {
            core,
            has_ended: watch::Sender::default(),
            left: OnceLock::new(),
            guard: task.abort_handle(),
            is_over: AtomicBool::new(false),
        }
    }

    /// These are the buses that end with it.
    pub(crate) fn runs(&self, core: Weak<Core>) {
        let _ = self.core.set(core);
    }

    /// Whether it has ended, and everything that ran for the buses with it.
    pub(crate) fn has_ended(&self) -> bool {
        *self.has_ended.borrow()
    }

    /// Waits until it has ended. Cancel safe.
    pub(crate) async fn end(&self) {
        // The sender is here.
        let _ = self.has_ended.subscribe().wait_for(|&has_ended| has_ended).await;
    }

    /// What had not been settled when it ended, as far as subscriptions had not been let go of before.
    pub(crate) fn left(&self) -> Vec<(String, u64)> {
        self.left.get().cloned().unwrap_or_default()
    }

    /// The buses have been shut down: whatever ends now is no matter.
    pub(crate) fn is_over(&self) {
        self.is_over.store(true, SeqCst);
        self.guard.abort();
    }
}

impl Drop for AsyncRuntime {
    fn drop(&mut self) {
        self.is_over();
    }
}

/// Is dropped with its task, when the runtime ends.
struct Guard(Arc<OnceLock<Weak<Core>>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(core) = self.0.get().and_then(Weak::upgrade)
            && !core.async_runtime.is_over.load(SeqCst)
        {
            end_with_runtime(&core);
        }
    }
}

/// Nothing runs for the buses any more: whoever still holds them is to be told.
fn end_with_runtime(core: &Core) {
    let AsyncRuntime { left, has_ended, .. } = &core.async_runtime;
    let health = core.buses.iter().flat_map(|bus| bus.backend().health().subscriptions);
    let unsettled = health.filter(|subscription| subscription.in_flight > 0);
    let unsettled: Vec<_> = unsettled.map(|it| (it.subscriber.to_string(), it.in_flight)).collect();
    let _ = left.set(unsettled);
    has_ended.send_replace(true);
    for bus in &core.buses {
        // From the first step on, it takes nothing more. What it would wait for has ended.
        let close = || {
            bus.backend().drain();
            let _ = pin!(bus.backend().close()).poll(&mut Context::from_waker(Waker::noop()));
        };
        let _ = catch_unwind(AssertUnwindSafe(close));
    }
}
