//! The tasks of a backend: owned, and made again when they panic.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{Backoff, lock};
use crate::{error::BackendError, maybe_ready::BoxFuture};

/// What a task is called in log lines.
#[derive(Debug, Clone)]
pub struct TaskName {
    /// What it does, as in `reads a stream`.
    pub task: &'static str,
    /// The bus that it works for.
    pub bus: Arc<str>,
    /// The subscriber that it works for, if it is one alone.
    pub subscriber: Option<Arc<str>>,
}

impl TaskName {
    /// A task that works for a whole bus.
    pub fn of_bus(task: &'static str, bus: impl Into<Arc<str>>) -> Self {
        Self { task, bus: bus.into(), subscriber: None }
    }

    /// A task that works for one subscriber.
    pub fn of_subscriber(
        task: &'static str,
        bus: impl Into<Arc<str>>,
        subscriber: impl Into<Arc<str>>,
    ) -> Self {
        Self { task, bus: bus.into(), subscriber: Some(subscriber.into()) }
    }
}

/// A task that ran at least this long before it panicked is made again soon.
const STEADY: Duration = Duration::from_secs(60);

/// Runs a task until it ends by itself. When it panics, that is logged as an error, and it is run again, after a wait
/// that [grows](Backoff) with every panic.
///
/// `state` is what the task keeps from one run to the next: what it had already taken on is not lost with a panic.
pub async fn supervise<S: Send>(
    name: TaskName,
    mut state: S,
    mut run: impl for<'a> FnMut(&'a mut S) -> BoxFuture<'a, ()> + Send,
) {
    let mut backoff = Backoff::new();
    loop {
        let started = Instant::now();
        let ended = match catch(|| run(&mut state)) {
            Ok(future) => caught(future).await,
            Err(panic) => Err(panic),
        };
        let Err(panic) = ended else { return };
        let TaskName { task, bus, subscriber } = &name;
        tracing::error!(
            bus = &**bus,
            subscriber = subscriber.as_deref(),
            task,
            panic,
            "a task panicked; starting it again"
        );
        if started.elapsed() >= STEADY {
            backoff = Backoff::new();
        }
        sleep(backoff.next_wait()).await;
    }
}

/// Awaits a future; a panic in it is an error with the panic's message.
async fn caught(mut future: BoxFuture<'_, ()>) -> Result<(), String> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(message(&*panic))),
    })
    .await
}

/// Calls a function on what others have sent; a panic in it is an error with the panic's message.
///
/// Decoders do not panic on purpose. This keeps one message that makes one panic from ending the task that reads them
/// all.
///
/// # Errors
///
/// When it panicked.
pub fn catch<T>(function: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(function)).map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

/// The tasks of a backend. They end with their owner, if not before.
#[derive(Default)]
pub struct Tasks(Mutex<Running>);

#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    is_closed: bool,
}

impl Tasks {
    /// Runs a task, as [`supervise`] does. To be called inside a runtime.
    ///
    /// # Errors
    ///
    /// When [`close`](Self::close) has been called: the task is not run.
    pub fn spawn<S: Send + 'static>(
        &self,
        name: TaskName,
        state: S,
        run: impl for<'a> FnMut(&'a mut S) -> BoxFuture<'a, ()> + Send + 'static,
    ) -> Result<(), BackendError> {
        let mut running = lock(&self.0);
        if running.is_closed {
            return Err(BackendError::closed());
        }
        while running.tasks.try_join_next().is_some() {}
        running.tasks.spawn(supervise(name, state, run));
        Ok(())
    }

    /// Whether none is running.
    pub fn is_empty(&self) -> bool {
        let mut running = lock(&self.0);
        while running.tasks.try_join_next().is_some() {}
        running.tasks.is_empty()
    }

    /// Waits up to the limit until all have ended by themselves; gives whether they have. Cancel safe.
    pub async fn finish(&self, limit: Duration) -> bool {
        timeout(limit, poll_fn(|cx| self.poll_finished(cx))).await.is_ok()
    }

    /// Takes no more tasks, and ends those that run, wherever they are. Cancel safe; repeating it changes nothing.
    pub async fn close(&self) {
        {
            let mut running = lock(&self.0);
            running.is_closed = true;
            running.tasks.abort_all();
        }
        poll_fn(|cx| self.poll_finished(cx)).await;
    }

    fn poll_finished(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut running = lock(&self.0);
        while ready!(running.tasks.poll_join_next(cx)).is_some() {}
        Poll::Ready(())
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("running", &lock(&self.0).tasks.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    fn name() -> TaskName {
        TaskName::of_subscriber("reads", "default", "mail::send")
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_run_again_and_keeps_what_it_had() {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        supervise(name(), Vec::new(), move |kept: &mut Vec<u32>| {
            let run = counted.fetch_add(1, SeqCst);
            assert_ne!(run, 1, "also outside of the future");
            Box::pin(async move {
                kept.push(run);
                assert!(run >= 3, "once more");
                assert_eq!(*kept, [0, 2, 3]);
            })
        })
        .await;
        assert_eq!(runs.load(SeqCst), 4);
    }

    fn forever(_: &mut Arc<()>) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_end_with_their_owner_and_a_closed_owner_takes_none() {
        let (tasks, token) = (Tasks::default(), Arc::new(()));
        tasks.spawn(name(), Arc::clone(&token), forever).unwrap();
        assert!(!tasks.finish(Duration::from_secs(1)).await && !tasks.is_empty());
        tasks.close().await;
        assert!(tasks.is_empty() && Arc::strong_count(&token) == 1);
        assert!(tasks.spawn(name(), Arc::clone(&token), forever).unwrap_err().is_closed());
        let tasks = Tasks::default();
        tasks.spawn(name(), Arc::clone(&token), forever).unwrap();
        drop(tasks);
        while Arc::strong_count(&token) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_panic_over_a_message_is_an_error() {
        assert_eq!(catch(|| 1), Ok(1));
        assert_eq!(catch(|| panic!("at {}", 7)), Err::<(), _>("at 7".to_owned()));
    }
}
