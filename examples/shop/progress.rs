//! A progress bar on stderr, where that is a terminal; elsewhere nothing.

use std::{
    io::{self, Write},
    sync::LazyLock,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::values::counted;

/// So many steps are the whole way.
const STEPS: u64 = 1_000;

static BAR: LazyLock<ProgressBar> = LazyLock::new(|| {
    let bar = ProgressBar::no_length();
    bar.set_style(style("publishing  {msg}"));
    bar
});

pub(crate) struct Progress {
    has_length: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { has_length: false }
    }

    /// Shows how far it is, from 0 to 1 where that is known.
    pub(crate) fn show(&mut self, done: Option<f64>, orders: u64) {
        if let (Some(_), false) = (done, self.has_length) {
            BAR.set_style(style("publishing {bar:30} {percent:3} %  {msg}"));
            BAR.set_length(STEPS);
            self.has_length = true;
        }
        if BAR.is_hidden() {
            return;
        }
        BAR.set_message(counted(orders, "order"));
        if let Some(done) = done {
            BAR.set_position((done * STEPS as f64) as u64);
        }
    }

    /// Shows the end, to be left on the screen.
    pub(crate) fn finish(self, orders: u64) {
        BAR.finish_with_message(counted(orders, "order"));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid").progress_chars("██░")
}

/// Stderr for messages: the bar makes way for them.
pub(crate) fn stderr() -> impl Write {
    Messages
}

struct Messages;

impl Write for Messages {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        BAR.suspend(|| io::stderr().write(text))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
