//! What the tests on Redis share.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, Once},
};

pub(crate) use crate::waiting::{SOON, until};

/// The numbers that subscribers have handled. They take it as `State<Numbers>`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Numbers(Arc<Mutex<BTreeSet<u64>>>);

impl Numbers {
    pub(crate) fn add(&self, number: u64) {
        self.0.lock().unwrap().insert(number);
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        self.0.lock().unwrap().contains(&number)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn all(&self) -> Vec<u64> {
        self.0.lock().unwrap().iter().copied().collect()
    }

    pub(crate) fn missing_of(&self, expected: &BTreeSet<u64>) -> Vec<u64> {
        expected.difference(&self.0.lock().unwrap()).copied().collect()
    }
}

/// What this thread logs from `info` on, while it exists. A test on one thread logs all there.
pub(crate) struct Logged {
    _private: (),
}

thread_local! {
    static LOGGED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

impl Logged {
    pub(crate) fn start() -> Self {
        // One for all threads: with one for each, a place in the code that another thread came by first may stay silent.
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            tracing_subscriber::fmt().with_ansi(false).with_writer(|| ThisThread).init();
        });
        LOGGED.set(Some(Vec::new()));
        Self { _private: () }
    }

    /// The lines that contain all of these.
    pub(crate) fn lines(&self, parts: &[&str]) -> Vec<String> {
        let text = LOGGED.with_borrow(|logged| logged.clone().unwrap_or_default());
        let text = String::from_utf8_lossy(&text);
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        text.lines().filter(has_all).map(str::to_owned).collect()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        LOGGED.set(None);
    }
}

/// Writes to what this thread has logged, if it is of interest.
struct ThisThread;

impl io::Write for ThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| {
            if let Some(logged) = logged {
                logged.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
