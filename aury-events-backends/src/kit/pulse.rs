//! Whether the application's runtime goes on.
//!
//! A handler that blocks the thread it runs on stops everything on a single-threaded runtime: timers, other handlers,
//! settlements. The broker does not notice, since heartbeats come from the [`background`]; so it is noticed here. It is
//! said first, and past a limit the process gives up what it holds, for others to handle.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::{task::AbortHandle, time::interval};

use super::{background, catch};

/// How often the application's runtime shows that it goes on, and how often that is looked at.
const BEAT: Duration = Duration::from_millis(250);

/// For how long it may stand still before that is said.
const SAID_AFTER: Duration = Duration::from_secs(5);

/// Who is told that the application's runtime stands still. It is called on the [`background`] runtime: it must not
/// block, nor wait for anything on the application's.
pub trait Watcher: Send + Sync + 'static {
    /// It has stood still for so long: to be said, once.
    fn stands_still(&self, since: Duration);

    /// It has stood still for longer than the limit: what this process holds is to be given up.
    fn gives_up(&self, since: Duration);
}

/// Watches the runtime that the returned future runs on, until that is dropped.
///
/// # Errors
///
/// When the [`background`] runtime cannot be started.
pub fn pulse(
    limit: Duration,
    watcher: Arc<dyn Watcher>,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (start, beat) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let last = Arc::clone(&beat);
    let watching = background()?.spawn(async move {
        let (mut looks, mut is_said, mut has_given_up) = (interval(BEAT), false, false);
        loop {
            looks.tick().await;
            let last = Duration::from_millis(last.load(SeqCst));
            let since = start.elapsed().saturating_sub(last);
            if since < SAID_AFTER.min(limit) {
                (is_said, has_given_up) = (false, false);
                continue;
            }
            if !std::mem::replace(&mut is_said, true) {
                say(|| watcher.stands_still(since));
            }
            if since >= limit && !std::mem::replace(&mut has_given_up, true) {
                say(|| watcher.gives_up(since));
            }
        }
    });
    let watching = Watching(watching.abort_handle());
    Ok(async move {
        let _watching = watching;
        let mut beats = interval(BEAT);
        loop {
            beats.tick().await;
            beat.store(start.elapsed().as_millis() as u64, SeqCst);
        }
    })
}

/// Tells a watcher. A panic there, as of what writes the log, does not end the watch.
fn say(tell: impl FnOnce()) {
    if let Err(panic) = catch(tell) {
        tracing::error!(panic, "could not say that the runtime stands still");
    }
}

/// Ends the watch when it is dropped.
struct Watching(AbortHandle);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, thread};

    use super::*;
    use crate::kit::lock;

    #[derive(Default)]
    struct Told(Mutex<Vec<&'static str>>);

    impl Watcher for Told {
        fn stands_still(&self, _since: Duration) {
            lock(&self.0).push("stands still");
        }

        fn gives_up(&self, since: Duration) {
            assert!(since >= Duration::from_secs(1));
            lock(&self.0).push("gives up");
        }
    }

    #[tokio::test]
    async fn a_blocked_runtime_is_told_and_given_up_past_the_limit() {
        let told = Arc::<Told>::default();
        let beating = pulse(Duration::from_secs(1), Arc::clone(&told) as Arc<dyn Watcher>);
        let task = tokio::spawn(beating.unwrap());
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(lock(&told.0).is_empty(), "it goes on");
        // The only thread of the test's runtime: what is tested is that it is blocked.
        let since = Instant::now();
        while lock(&told.0).len() < 2 {
            assert!(since.elapsed() < Duration::from_secs(30));
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(*lock(&told.0), ["stands still", "gives up"]);
        task.abort();
    }
}
