//! A progress bar on stderr, where that is a terminal; elsewhere nothing.

use std::{
    io::{self, IsTerminal, Stderr, Write},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::values::counted;

const WIDTH: usize = 30;
const BETWEEN_DRAWINGS: Duration = Duration::from_millis(50);
const CLEAR_LINE: &str = "\r\x1b[2K";

/// Whether the line of the cursor holds a bar.
static IS_DRAWN: AtomicBool = AtomicBool::new(false);

pub(crate) struct Progress {
    is_terminal: bool,
    drawn: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), drawn: None }
    }

    /// Draws how far it is, from 0 to 1 where that is known; but not at every call.
    pub(crate) fn show(&mut self, done: Option<f64>, orders: u64) {
        if self.is_terminal && self.drawn.is_none_or(|drawn| drawn.elapsed() >= BETWEEN_DRAWINGS) {
            self.drawn = Some(Instant::now());
            draw(done, orders, "");
        }
    }

    /// Draws the end, to be left on the screen.
    pub(crate) fn finish(self, orders: u64) {
        if self.is_terminal {
            draw(Some(1.0), orders, "\n");
            IS_DRAWN.store(false, Relaxed);
        }
    }
}

/// Stderr for a message: the bar makes way for it.
pub(crate) fn stderr() -> Stderr {
    let mut stderr = io::stderr();
    if IS_DRAWN.swap(false, Relaxed) {
        let _ = write!(stderr, "{CLEAR_LINE}");
    }
    stderr
}

// A terminal that is gone cannot be told: its errors are ignored.
fn draw(done: Option<f64>, orders: u64, end: &str) {
    IS_DRAWN.store(true, Relaxed);
    let orders = counted(orders, "order");
    let _ = match done {
        Some(done) => {
            let filled = (done * WIDTH as f64) as usize;
            let (bar, rest) = ("█".repeat(filled), "░".repeat(WIDTH - filled));
            let percent = (done * 100.0) as u32;
            write!(io::stderr(), "{CLEAR_LINE}publishing {bar}{rest} {percent:3} %  {orders}{end}")
        }
        None => write!(io::stderr(), "{CLEAR_LINE}publishing  {orders}{end}"),
    };
}
