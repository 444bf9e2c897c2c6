//! A publish as what it is: a future that is described before it is polled.

use std::time::Duration;

use aury_events::{TraceContext, prelude::*};
use serde::{Deserialize, Serialize};

use crate::support::{Log, in_time, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "publishing.placed")]
struct Placed {
    order_id: u32,
}

/// On a bus that there is not.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "publishing.lost", bus = "nowhere")]
struct Lost;

#[subscribe]
async fn note(event: &Placed, context: Context, State(log): State<Log>) {
    let publish = context.publish(Lost).await.unwrap_err();
    log.add(format!("{}: {publish}", event.order_id));
    log.add(context.trace().trace_id().to_string());
}

async fn bus() -> (EventBus, Log) {
    let (builder, log) = manager_of(module_path!());
    (builder.start().await.unwrap().default_bus(), log)
}

#[tokio::test]
async fn it_is_inert_until_it_is_polled() {
    let (bus, log) = bus().await;
    drop(bus.publish(Placed { order_id: 1 }));
    let publish = bus.publish(Placed { order_id: 2 }).header("tenant", "acme");
    bus.settled().await;
    assert!(log.entries().is_empty());
    publish.await.unwrap();
    in_time(bus.settled()).await;
    assert_eq!(log.entries()[0], "2: there is no bus `nowhere`, only `default`");
}

#[tokio::test]
async fn it_can_go_to_a_task_of_its_own_while_the_bus_goes_elsewhere() {
    let (bus, log) = bus().await;
    let publish = tokio::spawn(bus.publish(Placed { order_id: 1 }));
    let later = bus.publish(Placed { order_id: 2 }).delay(Duration::from_millis(1));
    let later = tokio::spawn(later);
    in_time(publish).await.unwrap().unwrap();
    in_time(later).await.unwrap().unwrap();
    in_time(bus.settled()).await;
    assert_eq!(log.entries().len(), 4);
}

#[tokio::test]
async fn it_continues_a_trace_from_elsewhere() {
    let (bus, log) = bus().await;
    let trace = TraceContext::root();
    bus.publish(Placed { order_id: 1 }).trace(trace).await.unwrap();
    in_time(bus.settled()).await;
    assert_eq!(log.entries()[1], trace.trace_id().to_string());
}

#[tokio::test]
async fn outside_of_handlers_a_process_without_buses_says_so_when_it_is_polled() {
    // Made here, it is no error yet.
    let publish = aury_events::publish(Placed { order_id: 1 });
    let error = publish.await.unwrap_err().to_string();
    assert!(error.contains("init_from_env"), "{error}");
}
