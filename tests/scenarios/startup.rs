//! What is checked before anything starts, and what is said about it.

use aury_events::{Problem, prelude::*};
use serde::{Deserialize, Serialize};

use crate::support::{manager_of, run};

/// Two event types of one name would spoil every scenario of this binary. So these mistakes are made in a program of
/// their own; what its user reads stands beside it.
#[tokio::test]
async fn all_problems_are_reported_at_once_each_with_its_place_and_the_way_out() {
    let variables =
        [("EVENT_QUEUE_CAPACITY", "many"), ("EVENT_AUDIT_URL", "nats://shop:hunter2@audit")];
    let run = run(env!("CARGO_BIN_EXE_broken"), &variables).await;
    assert_eq!(run.stderr, include_str!("../fixtures/programs/broken.stderr"));
    assert_eq!((run.code, &*run.stdout), (Some(1), ""));
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "startup.happened")]
struct Happened;

#[subscribe(name = "startup.one.bill", bus = "billing")]
async fn bill(_: &Happened) {}

#[tokio::test]
async fn a_problem_alone_is_told_in_one_line_and_can_be_matched_on() {
    let (builder, _) = manager_of("startup");
    let error = builder.subscribers("startup.one.*").start().await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the event buses cannot start: the subscriber `startup.one.bill` ("));
    assert_eq!(text.lines().count(), 1);
    let [Problem::UnknownBus { subscriber, bus: "billing", .. }] = error.problems() else {
        panic!("{error}")
    };
    assert_eq!((subscriber.name, subscriber.location.file()), ("startup.one.bill", file!()));
}

#[tokio::test]
async fn a_subscriber_that_does_not_run_here_needs_nothing() {
    let (builder, _) = manager_of("startup");
    let events = builder.subscribers("startup.two.*").start().await.unwrap();
    assert!(events.catalogue().subscribers.is_empty());
}

#[tokio::test]
async fn a_backend_that_nobody_knows_is_an_error_that_lists_those_that_are_linked() {
    let (builder, _) = manager_of("startup");
    let nats = BusConfig::backend("nats").url("nats://shop:hunter2@broker");
    let error = builder.subscribers("none").bus("default", nats).start().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("which no linked crate registers; there is `loopback`, `memory`"),
        "{text}"
    );
    assert!(!format!("{error:?} {:?}", error.problems()).contains("hunter2"));
}

#[tokio::test]
async fn buses_and_their_subscribers_are_logged_crate_by_crate() {
    let run = run(env!("CARGO_BIN_EXE_shop_service"), &[("EVENT_DOMAIN_BACKEND", "memory")]).await;
    for logged in [
        "INFO aury_events::manager::startup: 3 subscribers: handlers (mail::confirm, mail::remind, stock::reserve) \
         bus=\"default\" backend=\"memory\" delivery=\"at most once\"\n",
        "INFO aury_events::manager::startup: 1 subscribers: handlers (stock::record) bus=\"domain\" backend=\"memory\" \
         delivery=\"at most once\"\n",
        "INFO aury_events::manager::startup: the event buses are up subscribers=4 linked=4\n",
    ] {
        assert!(run.stderr.contains(logged), "{}", run.stderr);
    }
}

#[tokio::test]
async fn no_subscriber_at_all_is_a_warning_that_explains_what_is_not_linked() {
    let run = run(env!("CARGO_BIN_EXE_unlinked"), &[]).await;
    assert_eq!(
        run.stderr,
        " INFO aury_events::manager::startup: 0 subscribers bus=\"default\" backend=\"memory\" delivery=\"at most once\"\n \
         WARN aury_events::manager::startup: no subscriber was found. A crate whose code is never named is not linked, and its \
         subscribers are missing: write `use the_crate as _;` in the binary\n"
    );
    assert_eq!(run.code, Some(0));
}

#[tokio::test]
async fn a_process_that_only_publishes_needs_no_subscriber() {
    let run = run(env!("CARGO_BIN_EXE_unlinked"), &[("EVENT_SUBSCRIBERS", "none")]).await;
    assert_eq!(
        run.stderr,
        " INFO aury_events::manager::startup: 0 subscribers bus=\"default\" backend=\"memory\" delivery=\"at most once\"\n \
         INFO aury_events::manager::startup: the event buses are up subscribers=0 linked=0\n"
    );
    assert_eq!(run.code, Some(0));
}
