//! Spans as a subscriber of `tracing` sees them, and what OpenTelemetry's conventions want of them.
#![allow(dead_code, reason = "each binary uses its part")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Write,
    sync::{Arc, Mutex},
};

use tracing::{
    Dispatch, Subscriber,
    dispatcher::{DefaultGuard, set_default},
    field::{Field, Visit},
    span,
    subscriber::NoSubscriber,
};
use tracing_subscriber::{
    Layer,
    filter::LevelFilter,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// This thread's subscriber of `tracing`, as long as it exists.
pub(crate) struct Listening {
    _this_thread: DefaultGuard,
    /// With one dispatcher alone, a place in the code that another thread comes by first stays silent for all.
    _second: Dispatch,
}

pub(crate) fn listen(dispatch: &Dispatch) -> Listening {
    Listening { _second: Dispatch::new(NoSubscriber::new()), _this_thread: set_default(dispatch) }
}

/// The spans that were made, in their order.
#[derive(Clone, Default)]
pub(crate) struct Spans(Arc<Mutex<Vec<SeenSpan>>>);

/// A span: its name, and the values of its fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenSpan {
    id: u64,
    pub(crate) name: &'static str,
    pub(crate) fields: BTreeMap<&'static str, String>,
    pub(crate) is_closed: bool,
}

impl SeenSpan {
    /// The value of a field; empty when it has none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Spans {
    /// A subscriber of `tracing` that sees the spans of this level and above.
    pub(crate) fn subscriber(&self, level: LevelFilter) -> Dispatch {
        let layer = Layer::with_filter(Seeing(self.clone()), level);
        tracing_subscriber::registry().with(layer).into()
    }

    pub(crate) fn all(&self) -> Vec<SeenSpan> {
        self.0.lock().unwrap().clone()
    }

    /// The spans of that operation, as in `publish`.
    pub(crate) fn of(&self, operation: &str) -> Vec<SeenSpan> {
        self.all().into_iter().filter(|span| span.name == operation).collect()
    }

    fn change(&self, id: &span::Id, change: impl FnOnce(&mut SeenSpan)) {
        let mut spans = self.0.lock().unwrap();
        // Ids are used again when a span has been closed.
        if let Some(span) = spans.iter_mut().rfind(|span| span.id == id.into_u64()) {
            change(span);
        }
    }
}

struct Seeing(Spans);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Seeing {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, _: Context<'_, S>) {
        let (id, name) = (id.into_u64(), attributes.metadata().name());
        let mut span = SeenSpan { id, name, ..SeenSpan::default() };
        attributes.record(&mut span);
        self.0.0.lock().unwrap().push(span);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        self.0.change(id, |span| values.record(span));
    }

    fn on_close(&self, id: span::Id, _: Context<'_, S>) {
        self.0.change(&id, |span| span.is_closed = true);
    }
}

impl Visit for SeenSpan {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// Fields that are no attributes: what people read in a line, and what `tracing-opentelemetry` turns into something else.
const NO_ATTRIBUTES: [&str; 8] = [
    "event",
    "event_id",
    "subscriber",
    "attempt",
    "trace_id",
    "otel.name",
    "otel.kind",
    "otel.status_code",
];

/// What breaks the conventions in a span.
pub(crate) fn breaches(span: &SeenSpan) -> Vec<String> {
    let (system, operation) =
        (span.field("messaging.system"), span.field("messaging.operation.type"));
    let mut levels = BTreeMap::new();
    let conventions = include_str!("messaging-1.44.csv");
    for line in conventions.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let [of_system, of_operation, attribute, level] = fields[..] else { panic!("{line}") };
        if of_operation == operation && (of_system == "*" || of_system == system) {
            levels.insert(attribute, level);
        }
    }
    assert!(!levels.is_empty(), "the conventions have no operation {operation:?}");
    let given: BTreeSet<_> =
        span.fields.keys().copied().filter(|name| !NO_ATTRIBUTES.contains(name)).collect();
    let unknown = given.iter().filter(|name| !levels.contains_key(*name));
    let mut breaches: Vec<_> =
        unknown.map(|name| format!("{name} is no attribute of it")).collect();
    let has_failed = span.field("otel.status_code") == "ERROR";
    let is_batch = span.fields.contains_key("messaging.batch.message_count");
    for (attribute, level) in levels {
        let is_wanted = match (level, attribute) {
            ("required", _) => true,
            (_, "error.type") => has_failed,
            (_, "messaging.message.id" | "messaging.message.conversation_id") => !is_batch,
            (_, "server.address" | "server.port") => system == "rabbitmq" || system == "redis",
            (
                _,
                "messaging.operation.type"
                | "messaging.destination.name"
                | "messaging.rabbitmq.destination.routing_key",
            )
            | ("registry", _) => true,
            // It does not apply here, or is not known.
            _ => continue,
        };
        if is_wanted != given.contains(attribute) {
            let verb = if is_wanted { "misses" } else { "has no right to" };
            breaches.push(format!("it {verb} {attribute}"));
        }
    }
    let kind = match operation {
        "send" => "producer",
        "process" => "consumer",
        _ => "client",
    };
    if span.field("otel.kind") != kind {
        breaches.push(format!("it is of kind {:?}, not {kind}", span.field("otel.kind")));
    }
    breaches
}

/// What is logged, as text.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// A subscriber of `tracing` that writes lines here, from `info` on.
    pub(crate) fn subscriber(&self) -> Dispatch {
        let log = self.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish().into()
    }

    /// The lines that contain a text.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        let lines = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        lines.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}
