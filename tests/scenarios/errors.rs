//! What errors say: each of a chain says something of its own.

use std::{error::Error, iter::successors, sync::Arc, time::Duration};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

use crate::support::in_time;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "errors.happened")]
struct Happened {
    number: f64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "errors.elsewhere", bus = "nowhere")]
struct Elsewhere;

#[derive(Clone)]
struct Missing;

#[subscribe(name = "errors.lacks_a_state")]
async fn lacks_a_state(_: &Happened, _: State<Missing>) {}

/// Each text of the chain is on one line, and none stands in one before.
fn says_nothing_twice(error: &(dyn Error + 'static)) {
    let chain: Vec<_> = successors(Some(error), |&error| error.source()).collect();
    let texts: Vec<_> = chain.iter().map(ToString::to_string).collect();
    assert!(texts.iter().all(|text| !text.is_empty()), "{texts:?}");
    for (at, text) in texts.iter().enumerate() {
        let before = &texts[..at];
        assert!(before.iter().all(|other| !other.contains(text)), "said twice: {texts:#?}");
    }
}

#[tokio::test]
async fn no_error_says_a_thing_twice() {
    let manager = || EventBusManager::builder().service("tests").subscribers("none");
    let config = BusConfig::memory().strict(true).shutdown_timeout(Duration::from_millis(50));
    let events = manager().bus("default", config).start().await.unwrap();
    let bus = events.default_bus();
    says_nothing_twice(&bus.publish(Happened { number: f64::NAN }).await.unwrap_err());
    let many = [Happened { number: 1.0 }, Happened { number: f64::NAN }];
    says_nothing_twice(&bus.publish_all(many).await.unwrap_err());
    says_nothing_twice(&aury_events::publish(Elsewhere).await.unwrap_err());
    says_nothing_twice(&events.get_instance("nowhere").unwrap_err());

    let failing = bus.subscribe(|_: Arc<Happened>| async { Err::<(), _>("it is so") });
    let failing = failing.await.unwrap();
    bus.publish(Happened { number: 1.0 }).await.unwrap();
    in_time(bus.settled()).await;
    failing.unsubscribe().await;
    let letter = bus.dead_letters().list().await.unwrap().remove(0);
    says_nothing_twice(&letter.clone().replay().await.unwrap_err());
    says_nothing_twice(&bus.dead_letters().replay_all().await.unwrap_err());

    let hanging = bus.subscribe(|_: Arc<Happened>| std::future::pending::<()>());
    let _hanging = hanging.await.unwrap();
    bus.publish(Happened { number: 1.0 }).await.unwrap();
    says_nothing_twice(&events.shutdown().await.unwrap_err());
    says_nothing_twice(&bus.publish(Happened { number: 1.0 }).await.unwrap_err());
    let late = bus.subscribe(|_: Arc<Happened>| async {});
    says_nothing_twice(&late.await.unwrap_err());

    for config in [
        BusConfig::backend("nonsense"),
        BusConfig::redis("amqp://guest:secret@localhost:1"),
        BusConfig::redis("redis://localhost:1").connect_timeout(Duration::from_millis(50)),
        BusConfig::memory().publish_timeout(Duration::ZERO),
    ] {
        let error = manager().bus("default", config).start().await.unwrap_err();
        says_nothing_twice(&error);
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
    let lacking = EventBusManager::builder().service("tests").subscribers("errors.*");
    says_nothing_twice(&lacking.start().await.unwrap_err());
}
