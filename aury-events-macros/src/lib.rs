//! The macros of [aury-events](https://docs.rs/aury-events). Use them through that crate, which
//! re-exports them.

mod dotted;
mod duration;
mod errors;
mod event;
mod name;
mod nearest;
mod options;
mod subscribe;

use proc_macro::TokenStream;

/// Makes a struct or an enum an event: a fact with a name, to be published and subscribed to.
///
/// The type needs serde's derives as well, since an event may leave the process.
///
/// ```ignore
/// use aury_events::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Clone, Serialize, Deserialize, Event)]
/// #[event(name = "order.created", version = 2)]
/// struct OrderCreated {
///     #[event(key)]
///     order_id: String,
///     amount: f64,
/// }
/// ```
///
/// The derive also enters the type in a list that the linker puts together, from which start-up
/// learns of all events and refuses two that share a name.
///
/// # Options of the type
///
/// | `#[event(..)]` | meaning | default |
/// |---|---|---|
/// | `name = "order.created"` | the event's name | the type's name, see below |
/// | `version = 2` | the version of the event's shape, at least 1 | 1 |
/// | `bus = "domain"` | the bus it is published and subscribed to on | `"default"` |
/// | `key = path` | a `fn(&E) -> impl Display` that gives the event's key, see below | no key, or the field's |
/// | `crate = path` | where to find aury-events, if not at `::aury_events` | `::aury_events` |
///
/// They may be spread over several attributes.
///
/// **Names** are segments joined by dots, each of ASCII letters, digits, `_` and `-`, with at most
/// 200 bytes in all. Without `name`, the words of the type's name are the segments, in lower case
/// and without a trailing `Event`: `OrderCreatedEvent` is `order.created`, `HTTPRequestReceived` is
/// `http.request.received`, `S3ObjectStored` is `s3.object.stored`. Such a name changes when the
/// type is renamed, so an event that others depend on should have its name written.
///
/// # The key
///
/// The key says which events belong together, such as all events of one order. `#[event(key)]` marks the field of a struct
/// that holds it. The field's type implements `EventKey`, as strings, integers and `Uuid` do. Above the type,
/// `#[event(key = path)]` names a function of the event instead, for an enum or a key of several fields.
///
/// # What cannot be an event
///
/// Generic types (an event is one fact with one name), types that borrow, and unions.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    event::derive(input.into()).into()
}

/// Makes an `async fn` a subscriber: it is called for every event of its first parameter's type.
///
/// ```ignore
/// use aury_events::prelude::*;
///
/// #[subscribe]
/// async fn update_statistics(event: &OrderCreated) {
///     println!("order {} for {:.2}", event.order_id, event.amount);
/// }
///
/// #[subscribe(name = "order-mail", when = |event| event.amount >= 10.0, retry = 3)]
/// async fn send_order_mail(
///     event: &OrderCreated,
///     State(mailer): State<Mailer>,
/// ) -> Result<(), MailError> {
///     mailer.confirm(&event.order_id).await
/// }
///
/// #[subscribe(pattern = "order.*")]
/// async fn audit(event: &AnyEvent, context: Context) {
///     println!("{} {}", context.event_id(), event.name());
/// }
/// ```
///
/// The function stays as it is written, and can be called and tested like any other. The attribute
/// enters it in a list that the linker puts together, from which start-up learns of all
/// subscribers: nothing has to be registered.
///
/// # The function
///
/// **The first parameter** is the event:
///
/// | type | gets |
/// |---|---|
/// | `&E` | the event that all its subscribers share |
/// | `Arc<E>` | the same, to keep or to send elsewhere |
/// | `E` | the event itself, cloned if another subscriber has it too: `E` is `Clone` |
/// | `&AnyEvent` | any event with a name that `pattern` matches |
///
/// **Further parameters** are extractors, types that implement `FromContext`, taken by value:
/// `Context`, `State<T>`, `EventBus`, `TraceId`, `Receipt`, and any of your own. What they need is checked at
/// start-up.
///
/// **It returns** nothing, or `Result<(), E>` with any error type `E` that converts into
/// `Box<dyn Error + Send + Sync>`.
///
/// It is a free function, neither generic nor a method, and its future is `Send`.
///
/// # Options
///
/// | option | meaning | default |
/// |---|---|---|
/// | `bus = "domain"` | the bus to listen on | the event's bus |
/// | `name = "order-mail"` | the subscriber's stable id, in queues, metrics and dead letters: letters, digits, `_`, `-`, `.`, `:` | `module::path::function` |
/// | `when = \|event\| event.amount >= 10.0` | a closure or the path of a `fn(&E) -> bool`, or of a `fn(&E, &Context) -> bool`: other events are acknowledged, and not handled | always |
/// | `pattern = "order.*"` | the names that `&AnyEvent` stands for, by AMQP's rules: `*` is one segment, `#` any number of them | – |
/// | `retry = 3`, `retry(..)` | how often a failed event is tried in all, and how long to wait in between, see below | no retry |
/// | `retry_if = MailError::is_transient` | a closure or the path of a `fn(&E) -> bool` over the function's error: other errors are not retried | every error |
/// | `timeout = "30s"` | how long an attempt may take; one that takes longer has failed | none |
/// | `concurrency = 16` | how many events this subscriber handles at a time in one process | 1 |
/// | `batch = 100`, `batch(max = 100, wait = "50ms")` | take up to so many events at a time, of which the first waits so long for more, see below | one by one |
/// | `ordered`, `ordered = "service"` | with `concurrency`: events with one key run in order within a process, different keys in parallel; `"service"`: over all processes, or start-up refuses, see below | off |
/// | `idempotent` | skip an event that this subscriber has handled with success, see below | off |
/// | `durable` | refuse to start on a backend without at-least-once delivery | off |
/// | `broadcast` | every process gets every event, as for a cache, instead of one process per service | off |
/// | `crate = path` | where to find aury-events, if not at `::aury_events` | `::aury_events` |
///
/// **Durations** are a whole number and a unit, `"500ms"`, `"2s"`, `"1m"` or `"1h"`, and at most a
/// year.
///
/// # Order
///
/// `ordered` keeps the events of one key in order within one process: the next one begins when the one before is settled,
/// also when that is tried again. It promises nothing over several processes: those of one service share the work on
/// `redis-streams` and `rabbitmq`, and two of them may handle two events of one key at the same time. On `redis`, each
/// process gets every event, and keeps its own order. A retry that waits on the broker, and a delivery that comes again
/// after a crash, come after what was published since; an `ordered` subscriber therefore waits in place between attempts.
///
/// `ordered = "service"` requires the order of a key over all processes of the service. `memory` offers that, since it has
/// one process. `redis`, `redis-streams` and `rabbitmq` do not, and start-up refuses the subscriber there: write `ordered`,
/// and run the subscriber in one process (`EVENT_SUBSCRIBERS`).
///
/// # Many at a time: `batch`
///
/// The first parameter is then `&[Arc<E>]`, `Vec<Arc<E>>` or `Vec<E>`. A batch is handled when it has `max` events
/// (2 to 10,000, 100 unless written), or when its first event has waited for `wait` (`"50ms"` unless written); shutdown
/// waits for no more events. It is settled as a whole: all of its events are done with, or, when the function fails, each
/// is tried again as `retry` says of its own attempts, with whatever events there are then, or becomes a dead letter.
/// An event that cannot be decoded, or that `when` turns down, is not part of it. `timeout` is for a batch, and
/// `concurrency` says how many batches are handled at a time; a smaller `EVENT_PREFETCH` makes for smaller batches.
/// `ordered`, `idempotent` and `pattern` do not go with it.
///
/// `Context` is that of one of the events: of the first, or of one that has more events before it in its chain.
///
/// ```ignore
/// #[subscribe(batch(max = 500, wait = "200ms"), retry = 3)]
/// async fn index(events: &[Arc<OrderCreated>], State(search): State<Search>) -> Result<(), SearchError> {
///     search.add_all(events).await
/// }
/// ```
///
/// # Once only: `idempotent`
///
/// A backend with delivery at least once may deliver an event again, and a publisher may send a copy of it, with the
/// same id. A subscriber that is `idempotent` skips what it has handled with success. It is marked after that: when the
/// process dies in between, the event comes again and is handled again.
///
/// Where that is remembered is said by the builder's `idempotency`: in the process by default, or on a Redis server for
/// all processes of the service. While it cannot be asked, the subscriber handles nothing: its events are tried again
/// every two seconds, whatever `retry` says, and each of these times counts as an attempt. An event that was handled
/// but could not be marked is done with all the same; the log says so.
///
/// # Options of `retry`
///
/// | `retry(..)` | meaning | default |
/// |---|---|---|
/// | `attempts = 3` | how often an event is tried, the first time included, from 2 to 1000 | 3 |
/// | `delay = "2s"` | how long to wait before the second attempt | `"2s"` |
/// | `backoff = "exponential"` | whether the delay grows from one attempt to the next, or is `"fixed"` | `"fixed"` |
/// | `factor = 2.0` | exponential: by how much it grows each time, more than 1 | 2.0 |
/// | `max_delay = "1m"` | exponential: how far it grows, at least `delay` | `"1m"` |
/// | `jitter` | vary each delay at random, so that what failed together is not retried together; `jitter = false` turns it off | on when exponential |
///
/// `retry = 3` is short for `retry(attempts = 3)`.
///
/// ```ignore
/// #[subscribe(
///     retry(attempts = 5, delay = "500ms", backoff = "exponential", max_delay = "10s"),
///     retry_if = MailError::is_transient,
///     timeout = "30s",
/// )]
/// async fn send_order_mail(event: &OrderCreated) -> Result<(), MailError> {
///     mail::confirm(&event.order_id).await
/// }
/// ```
#[proc_macro_attribute]
pub fn subscribe(options: TokenStream, function: TokenStream) -> TokenStream {
    subscribe::subscribe(options.into(), function.into()).into()
}
