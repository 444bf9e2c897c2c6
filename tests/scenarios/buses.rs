//! Named instances.

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

use crate::support::{Log, in_time, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "buses.created", bus = "domain")]
struct Created;

#[subscribe]
async fn on_its_own_bus(_: &Created, bus: EventBus, State(log): State<Log>) {
    log.add(format!("event's bus: {}", bus.name()));
}

#[subscribe(bus = "audit")]
async fn on_another_bus(_: &Created, bus: EventBus, State(log): State<Log>) {
    log.add(format!("other bus: {}", bus.name()));
}

#[tokio::test]
async fn two_named_buses_do_not_mix() {
    let (builder, log) = manager_of(module_path!());
    let builder = builder.bus("domain", BusConfig::memory()).bus("audit", BusConfig::memory());
    let events = builder.start().await.unwrap();
    let names: Vec<_> = events.instances().map(|bus| bus.name().to_owned()).collect();
    assert_eq!(names, ["audit", "default", "domain"]);

    for (bus, expected) in [
        ("domain", vec!["event's bus: domain"]),
        ("audit", vec!["event's bus: domain", "other bus: audit"]),
        ("default", vec!["event's bus: domain", "other bus: audit"]),
    ] {
        let bus = events.get_instance(bus).unwrap();
        bus.publish(Created).await.unwrap();
        in_time(bus.settled()).await;
        assert_eq!(log.sorted(), expected, "after publishing on {}", bus.name());
    }
    assert_eq!(
        events.get_instance("billing").unwrap_err().to_string(),
        "there is no bus `billing`, only `audit`, `default`, `domain`"
    );
}

#[tokio::test]
async fn managers_live_side_by_side() {
    let start = || async {
        let (builder, log) = manager_of(module_path!());
        let builder = builder.bus("domain", BusConfig::memory()).bus("audit", BusConfig::memory());
        (builder.start().await.unwrap(), log)
    };
    let ((one, one_log), (_two, two_log)) = (start().await, start().await);
    let bus = one.get_instance("domain").unwrap();
    bus.publish(Created).await.unwrap();
    in_time(bus.settled()).await;
    assert_eq!((one_log.entries().len(), two_log.entries().len()), (1, 0));
}
