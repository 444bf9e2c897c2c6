//! Every form that events and subscribers may have, under lints that users may well turn on.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub, unused_qualifications)]

use std::{borrow::Cow, sync::Arc};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

/// A struct with named fields, and everything written.
#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "order.placed", version = 2)]
#[event(bus = "domain", crate = aury_events)]
pub struct OrderCreatedEvent {
    #[event(key)]
    order_id: String,
    amount: f64,
}

/// A tuple.
#[derive(Serialize, Deserialize, Event)]
pub struct OrderPaid(f64, #[event(key)] Option<u64>);

#[derive(Serialize, Deserialize, Event)]
struct NightlyRunStarted;

#[derive(Clone, PartialEq, Serialize, Deserialize, Event)]
enum HTTPRequestEvent {
    Received { path: String },
    Answered(u16),
}

#[derive(Serialize, Deserialize, Event)]
#[allow(non_camel_case_types)]
struct r#type;

#[subscribe]
async fn by_reference(event: &OrderCreatedEvent) {
    let _ = event.amount;
}

/// Documentation.
#[subscribe(name = "mail::order-mail.1", bus = "mail", durable, when = |event| event.amount > 1.0)]
#[must_use]
pub(crate) async fn by_value(
    mut event: OrderCreatedEvent,
    State(mut mailer): State<String>,
    _: Context,
    bus: EventBus,
) -> Result<(), std::io::Error> {
    event.amount += 1.0;
    mailer.push_str(bus.name());
    Ok(())
}

#[subscribe(
    when = is_large,
    retry(attempts = 5, delay = "500ms", backoff = "exponential", factor = 3, max_delay = "1h"),
    retry_if = |error| !error.to_string().is_empty(),
    timeout = "30s",
    concurrency = 16,
    ordered,
)]
async fn shared(
    event: Arc<OrderPaid>,
) -> Result<(), impl std::error::Error + Send + Sync + 'static> {
    drop(event);
    Ok::<(), std::fmt::Error>(())
}

fn is_large(event: &OrderPaid) -> bool {
    event.0 > 1_000.0
}

#[subscribe(ordered = "service", concurrency = 4)]
async fn in_order(_: &OrderPaid) {}

#[subscribe(when = |event, context| event.amount > 1.0 && context.attempt() == 1)]
async fn with_context(_: &OrderCreatedEvent) {}

fn is_fresh(event: &OrderCreatedEvent, context: &Context) -> bool {
    event.amount > 1.0 && context.attempt() == 1
}

#[subscribe(when = is_fresh)]
async fn with_context_by_path(_: &OrderCreatedEvent) {}

#[subscribe(pattern = "order.*", when = |event| event.name().as_str() != "order.paid")]
async fn any(event: &AnyEvent) -> Result<(), String> {
    event.name();
    Ok(())
}

#[subscribe(retry = 2, retry_if = std::io::Error::is_transient)]
async fn retried(_event: &NightlyRunStarted) -> Result<(), std::io::Error> {
    Ok(())
}

#[subscribe(idempotent, durable)]
async fn once(_event: &NightlyRunStarted) {}

#[subscribe(batch = 100)]
async fn many(events: &[Arc<OrderPaid>], _: Context) {
    let _ = events.len();
}

#[subscribe(batch(max = 2, wait = "0s"), when = is_large, retry = 2, concurrency = 2, broadcast)]
async fn many_shared(events: Vec<Arc<OrderPaid>>) -> Result<(), std::io::Error> {
    drop(events);
    Ok(())
}

#[subscribe(batch(wait = "1h"), retry = 2, retry_if = std::io::Error::is_transient, timeout = "1m")]
async fn many_owned(mut events: Vec<OrderCreatedEvent>) -> Result<(), std::io::Error> {
    events.clear();
    Ok(())
}

#[subscribe]
async fn settled_by_hand(
    _event: &NightlyRunStarted,
    receipt: Receipt,
) -> Result<(), aury_events::BackendFailure> {
    receipt.ack().await
}

/// Tells errors apart.
trait Transient {
    fn is_transient(&self) -> bool;
}

impl Transient for std::io::Error {
    fn is_transient(&self) -> bool {
        self.kind() == std::io::ErrorKind::Interrupted
    }
}

#[subscribe(retry(delay = "1s", jitter), broadcast, concurrency = 1)]
async fn destructured(NightlyRunStarted: &NightlyRunStarted) {}

#[subscribe]
async fn r#match(_event: &'_ r#type) {}

#[subscribe]
#[cfg(any())]
async fn not_in_this_build(event: &NoSuchEvent) {}

#[cfg_attr(all(), subscribe)]
#[cfg_attr(all(), cfg(all()), inline)]
async fn in_this_build(_event: HTTPRequestEvent) {}

/// A module of its own, and a macro that writes events.
mod inner {
    use super::{Deserialize, Event, Serialize, subscribe};

    macro_rules! event {
        ($event:ident, $name:literal, $function:ident, $taken:ty) => {
            #[derive(Serialize, Deserialize, Event)]
            #[event(name = $name)]
            pub(super) struct $event;

            #[subscribe(name = $name)]
            async fn $function(_event: &$taken) {}
        };
    }
    event!(Generated, "generated.event", generated, Generated);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    #[derive(Serialize, Deserialize, Event)]
    struct KnownHereAlone;

    #[subscribe]
    async fn here_alone(_event: &KnownHereAlone) {}

    here_alone(&KnownHereAlone).await;
    assert_eq!(KnownHereAlone::NAME, "known.here.alone");

    assert_eq!(OrderCreatedEvent::NAME, "order.placed");
    assert_eq!(OrderCreatedEvent::VERSION, 2);
    assert_eq!(OrderCreatedEvent::BUS, "domain");
    assert_eq!(OrderPaid::NAME, "order.paid");
    assert_eq!((OrderPaid::VERSION, OrderPaid::BUS), (1, "default"));
    assert_eq!(NightlyRunStarted::NAME, "nightly.run.started");
    assert_eq!(HTTPRequestEvent::NAME, "http.request");
    assert_eq!(r#type::NAME, "type");
    assert_eq!(inner::Generated::NAME, "generated.event");

    let order = OrderCreatedEvent { order_id: "o-1".into(), amount: 99.0 };
    assert_eq!(order.key(), Some(Cow::Borrowed("o-1")));
    assert_eq!(OrderPaid(1.0, Some(7)).key().as_deref(), Some("7"));
    assert_eq!(OrderPaid(1.0, None).key(), None);
    assert_eq!(NightlyRunStarted.key(), None);

    // The functions are what they were.
    by_reference(&order).await;
    shared(Arc::new(OrderPaid(1.0, None))).await.unwrap();
    destructured(&NightlyRunStarted).await;
    in_this_build(HTTPRequestEvent::Received { path: "/".into() }).await;
    assert!(HTTPRequestEvent::Answered(200) != HTTPRequestEvent::Answered(404));
}
