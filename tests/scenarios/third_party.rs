//! A backend from outside of the framework's crates: see `examples/loopback`.

use std::time::Duration;

use aury_events::{EventBus, EventBusManagerBuilder, Failure, prelude::*};
use loopback as _;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::support::{Log, in_time, manager_of, run, until};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "third_party.placed")]
struct Placed {
    #[event(key)]
    order_id: u32,
}

#[subscribe(name = "third_party.order.confirm", durable)]
async fn confirm(event: &Placed, context: Context, State(log): State<Log>) {
    let (attempt, key) = (context.attempt(), context.metadata().key());
    log.add(format!("order {}, key {key:?}, attempt {attempt}", event.order_id));
}

/// A manager on the broker of that name.
fn connected(broker: &str, subscribers: &str) -> (EventBusManagerBuilder, Log) {
    let config = BusConfig::backend("loopback")
        .url(format!("loopback://{broker}"))
        .shutdown_timeout(Duration::from_millis(50));
    let (builder, log) = manager_of("third_party");
    (builder.subscribers(subscribers).bus("default", config), log)
}

/// Waits until the subscribers have made so many entries, and their events are settled.
async fn handled(bus: &EventBus, log: &Log, entries: usize) {
    in_time(until(|| log.entries().len() == entries)).await;
    in_time(bus.settled()).await;
}

#[tokio::test]
async fn a_backend_is_selected_by_its_name_and_its_json_reaches_subscribers_as_their_event() {
    let (builder, log) = connected("select", "third_party.order.*");
    let events = builder.start().await.unwrap();
    let bus = events.default_bus();
    bus.publish(Placed { order_id: 7 }).await.unwrap();
    handled(&bus, &log, 1).await;
    assert_eq!(log.entries(), ["order 7, key Some(\"7\"), attempt 1"]);
    assert_eq!(bus.health().subscriptions[0].in_flight, 0);
    events.shutdown().await.unwrap();
    assert!(bus.publish(Placed { order_id: 8 }).await.unwrap_err().is_closed());
}

#[tokio::test]
async fn what_was_acknowledged_does_not_come_again_and_what_was_not_handed_out_does() {
    let (builder, log) = connected("restart", "third_party.order.*");
    let events = builder.start().await.unwrap();
    events.default_bus().publish(Placed { order_id: 1 }).await.unwrap();
    handled(&events.default_bus(), &log, 1).await;
    events.shutdown().await.unwrap();

    let (builder, _) = connected("restart", "none");
    let events = builder.start().await.unwrap();
    events.default_bus().publish(Placed { order_id: 2 }).await.unwrap();
    events.shutdown().await.unwrap();

    let (builder, log) = connected("restart", "third_party.order.*");
    let events = builder.start().await.unwrap();
    handled(&events.default_bus(), &log, 1).await;
    assert_eq!(log.entries(), ["order 2, key Some(\"2\"), attempt 1"]);
}

#[derive(Clone, Copy)]
struct Hangs(bool);

#[subscribe(name = "third_party.cancelled.hangs")]
async fn hangs(event: &Placed, context: Context, State(log): State<Log>, hangs: State<Hangs>) {
    log.add(format!("order {}, attempt {}", event.order_id, context.attempt()));
    if hangs.0.0 {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_delivery_whose_handler_is_cancelled_goes_back_to_the_backend() {
    let (builder, log) = connected("cancelled", "third_party.cancelled.*");
    let events = builder.state(Hangs(true)).start().await.unwrap();
    events.default_bus().publish(Placed { order_id: 1 }).await.unwrap();
    in_time(until(|| log.entries().len() == 1)).await;
    let error = events.shutdown().await.unwrap_err();
    assert_eq!(error.left(), [("third_party.cancelled.hangs".to_owned(), 1)]);

    let (builder, log) = connected("cancelled", "third_party.cancelled.*");
    let events = builder.state(Hangs(false)).start().await.unwrap();
    handled(&events.default_bus(), &log, 1).await;
    assert_eq!(log.entries(), ["order 1, attempt 2"]);
}

#[subscribe(name = "third_party.later.charge")]
async fn charge(event: &Placed, context: Context, State(log): State<Log>) -> Result<(), Failure> {
    log.add(format!("order {}, attempt {}", event.order_id, context.attempt()));
    match (event.order_id, context.attempt()) {
        (1, 1) => Err(Failure::retry_after("the bank is busy", Duration::from_secs(2))),
        _ => Ok(()),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_tried_later_waits_in_the_backend_and_holds_up_nothing() {
    let (builder, log) = connected("later", "third_party.later.*");
    let bus = builder.start().await.unwrap().default_bus();
    let start = Instant::now();
    for order_id in 1..=2 {
        bus.publish(Placed { order_id }).await.unwrap();
    }
    handled(&bus, &log, 3).await;
    assert_eq!(log.entries(), ["order 1, attempt 1", "order 2, attempt 1", "order 1, attempt 2"]);
    assert!(start.elapsed() >= Duration::from_secs(2));
}

/// The event as a publisher of long ago has it.
#[derive(Serialize, Deserialize)]
struct OldPlaced {
    order_id: String,
}

impl Event for OldPlaced {
    const NAME: &'static str = Placed::NAME;
}

#[tokio::test]
async fn what_cannot_be_decoded_is_a_dead_letter_with_the_reason() {
    let (builder, log) = connected("undecodable", "third_party.order.*");
    let bus = builder.start().await.unwrap().default_bus();
    bus.publish(OldPlaced { order_id: "seven".into() }).await.unwrap();
    bus.publish(Placed { order_id: 7 }).await.unwrap();
    handled(&bus, &log, 1).await;

    let letters = bus.dead_letters().list().await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(&*letters[0].subscriber, "third_party.order.confirm");
    assert_eq!(
        letters[0].reason,
        "the event could not be decoded: the payload is not a `scenarios::third_party::Placed`: invalid type: string \
         \"seven\", expected u32 at line 1 column 19"
    );
    assert_eq!(letters[0].envelope.payload().json().unwrap()[..], *br#"{"order_id":"seven"}"#);
}

#[subscribe(name = "third_party.pattern.audit", pattern = "third_party.*")]
async fn audit(_: &AnyEvent) {}

#[tokio::test]
async fn what_a_backend_does_not_offer_is_refused() {
    let (builder, _) = connected("refuse", "third_party.pattern.*");
    let error = builder.start().await.unwrap_err().to_string();
    let reason = "requires `pattern`, subscriptions to patterns; the backend `loopback` of the bus `default` does not \
                  offer that";
    assert!(error.ends_with(reason), "{error}");

    let (builder, _) = connected("refuse", "none");
    let bus = builder.start().await.unwrap().default_bus();
    let error = bus.subscribe_pattern("third_party.*", |_: AnyEvent| async {}).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot subscribe to `third_party.*`: the backend of the bus `default` has no patterns"
    );
}

#[tokio::test]
async fn a_backend_that_needs_a_url_says_so_before_anything_connects() {
    let (builder, _) = manager_of("third_party");
    let builder = builder.subscribers("none").bus("default", BusConfig::backend("loopback"));
    assert_eq!(
        builder.start().await.unwrap_err().to_string(),
        "the event buses cannot start: `.url(..)` of bus `default` is not set: backend `loopback` needs a URL such as \
         `loopback://shop`"
    );
}

#[tokio::test(start_paused = true)]
async fn its_own_setting_is_set_in_code_and_read_by_it_alone() {
    let (builder, log) = connected("latency", "third_party.order.*");
    let config = BusConfig::backend("loopback").url("loopback://latency");
    let builder = builder.bus("default", config.setting(&loopback::LATENCY, "3s"));
    let bus = builder.start().await.unwrap().default_bus();
    let start = Instant::now();
    bus.publish(Placed { order_id: 7 }).await.unwrap();
    handled(&bus, &log, 1).await;
    assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_bad_value_of_its_own_setting_stops_the_start() {
    let (builder, _) = connected("refused", "none");
    let config = BusConfig::backend("loopback").url("loopback://refused");
    let builder = builder.bus("default", config.setting(&loopback::LATENCY, "3"));
    assert_eq!(
        builder.start().await.unwrap_err().to_string(),
        "the event buses cannot start: the setting `LATENCY` of bus `default` is `3`: expected a unit after the number, \
         such as `3s` for seconds"
    );
}

/// The program links the backend, and knows nothing else of it.
#[tokio::test]
async fn the_environment_alone_leads_to_it_by_its_scheme_and_its_own_setting() {
    let selected = [
        ("EVENT_DOMAIN_URL", "loopback://shop"),
        ("EVENT_DOMAIN_LATENCY", "1ms"),
        ("EVENT_LATENCY", "1ms"),
        ("EVENT_DOMAIN_LATENCI", "1ms"),
    ];
    let ran = run(env!("CARGO_BIN_EXE_shop_service"), &selected).await;
    let warnings: Vec<_> = ran.stderr.lines().filter(|line| line.contains("WARN")).collect();
    let [misspelt, idle] = &warnings[..] else { panic!("{}", ran.stderr) };
    assert!(
        misspelt
            .ends_with("`EVENT_DOMAIN_LATENCI` sets nothing; did you mean `EVENT_DOMAIN_LATENCY`?"),
        "{misspelt}"
    );
    assert!(
        idle.ends_with(
            "`EVENT_LATENCY` has no effect: it is a setting of the backend `loopback`, and the backend of the bus \
             `default` is `memory`"
        ),
        "{idle}"
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);

    let refused = [("EVENT_DOMAIN_URL", "loopback://shop"), ("EVENT_DOMAIN_LATENCY", "slow")];
    let refused = run(env!("CARGO_BIN_EXE_shop_service"), &refused).await;
    assert!(
        refused.stderr.contains("`EVENT_DOMAIN_LATENCY` is `slow`: expected a whole number with"),
        "{}",
        refused.stderr
    );
}
