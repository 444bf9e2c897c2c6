//! A subscriber of `tracing` that panics over a line: so a task of ours panics where it logs that line.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use tracing::{
    Dispatch, Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, filter::LevelFilter, layer::Context, layer::SubscriberExt};

/// Panics over the first lines that contain a text.
#[derive(Clone)]
pub(crate) struct PanicsOver {
    text: &'static str,
    left: Arc<AtomicU32>,
}

impl PanicsOver {
    pub(crate) fn new(text: &'static str, times: u32) -> Self {
        Self { text, left: Arc::new(AtomicU32::new(times)) }
    }

    pub(crate) fn subscriber(&self) -> Dispatch {
        tracing_subscriber::registry().with(self.clone().with_filter(LevelFilter::INFO)).into()
    }

    /// Whether it has panicked as often as it was to.
    pub(crate) fn has_panicked(&self) -> bool {
        self.left.load(SeqCst) == 0
    }
}

impl<S: Subscriber> Layer<S> for PanicsOver {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        if message.0.contains(self.text)
            && self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
        {
            panic!("planted: {}", message.0);
        }
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
