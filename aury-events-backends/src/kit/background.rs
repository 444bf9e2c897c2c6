//! A runtime that does not depend on the application's.
//!
//! A handler that blocks the thread it runs on stops every other task of a single-threaded runtime. What a broker must
//! hear from us all the same (heartbeats, signs of life) runs here: one thread for the whole process, which runs nothing
//! of the application's.

use super::lock;
use std::{io, sync::Mutex, thread};

use tokio::runtime::{Builder, Handle};

/// The name of the thread, as debuggers and `top` show it.
const THREAD: &str = "aury-events";

static STARTED: Mutex<Option<Handle>> = Mutex::new(None);

/// The runtime of the process for tasks that must go on while the application's runtime is blocked. The first call
/// starts it; it ends with the process.
///
/// Tasks on it must not block and must not run code of the application.
///
/// # Errors
///
/// When the system refuses a thread or a poller. The next call tries again.
pub fn background() -> io::Result<Handle> {
    let mut started = lock(&STARTED);
    if let Some(handle) = &*started {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    *started = Some(handle.clone());
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[tokio::test]
    async fn it_runs_while_the_runtime_of_the_application_is_blocked() {
        let (sender, receiver) = mpsc::channel();
        background().unwrap().spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let name = thread::current().name().map(str::to_owned);
            sender.send(name).unwrap();
        });
        // This blocks the only thread of the test's runtime.
        let name = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(name.as_deref(), Some(THREAD));
    }
}
