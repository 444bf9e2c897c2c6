//! Subscribers that settle their events by themselves.

use std::{sync::Arc, time::Duration};

use aury_events::{DeadLetter, Receipt, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::support::{Log, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "receipts.uploaded")]
struct Uploaded(String);

#[derive(Clone, Copy)]
struct Start(Instant);

#[subscribe(timeout = "1m")]
async fn settle(
    event: &Uploaded,
    receipt: Receipt,
    context: Context,
    State(log): State<Log>,
    State(start): State<Start>,
) -> Result<(), String> {
    let attempt = context.attempt();
    log.add(format!("{} {attempt} at {:?}", event.0, start.0.elapsed()));
    match (event.0.as_str(), attempt) {
        ("later", 1) => receipt.retry_after(Duration::from_secs(9)).await.unwrap(),
        ("refused", _) => receipt.dead_letter("not a video").await.unwrap(),
        ("dropped", 1) => drop(receipt),
        ("settled and failed", _) => {
            receipt.ack().await.unwrap();
            return Err("too late".into());
        }
        ("settled and panicked", _) => {
            receipt.dead_letter("once").await.unwrap();
            panic!("twice");
        }
        _ => receipt.ack().await.unwrap(),
    }
    Ok(())
}

async fn handled(text: &str) -> (Vec<String>, Vec<DeadLetter>) {
    let (builder, log) = manager_of(module_path!());
    let builder = builder.subscribers(format!("{}::settle", module_path!()));
    let events = builder.state(Start(Instant::now())).start().await.unwrap();
    let bus = events.default_bus();
    bus.publish(Uploaded(text.to_owned())).await.unwrap();
    bus.settled().await;
    (log.entries(), bus.dead_letters().list().await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_receipt_says_what_becomes_of_the_event() {
    let (log, letters) = handled("later").await;
    assert_eq!(log, ["later 1 at 0ns", "later 2 at 9s"]);
    assert!(letters.is_empty());
    let (log, letters) = handled("refused").await;
    assert_eq!((log.len(), letters.len()), (1, 1));
    assert_eq!(letters[0].reason, "the handler failed: not a video");
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_dropped_gives_the_event_back() {
    let (log, letters) = handled("dropped").await;
    assert_eq!(log, ["dropped 1 at 0ns", "dropped 2 at 0ns"]);
    assert!(letters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_handler_returns_after_that_settles_nothing() {
    let (log, letters) = handled("settled and failed").await;
    assert_eq!((log.len(), letters.len()), (1, 0));
    let (log, letters) = handled("settled and panicked").await;
    assert_eq!((log.len(), letters.len()), (1, 1));
    assert_eq!(letters[0].reason, "the handler failed: once");
}

type Receipts = Arc<Mutex<Vec<Receipt>>>;

#[subscribe]
async fn keep(
    event: &Uploaded,
    receipt: Receipt,
    State(kept): State<Receipts>,
    State(log): State<Log>,
) {
    log.add(event.0.clone());
    assert!(aury_events::trace_id().is_some(), "the event is still the one that is handled");
    kept.lock().await.push(receipt);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_can_be_settled_in_another_task_and_shutdown_waits_for_it() {
    let (builder, log) = manager_of(module_path!());
    let builder = builder.subscribers(format!("{}::keep", module_path!()));
    let kept = Receipts::default();
    let events = builder.state(Arc::clone(&kept)).start().await.unwrap();
    for text in ["a", "b"] {
        events.default_bus().publish(Uploaded(text.to_owned())).await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(log.entries(), ["a", "b"], "the next event does not wait for the receipt");
    assert_eq!(events.default_bus().health().subscriptions[0].in_flight, 2);
    let start = Instant::now();
    let settling = tokio::spawn(async move {
        sleep(Duration::from_secs(3)).await;
        for receipt in kept.lock().await.drain(..) {
            receipt.ack().await.unwrap();
        }
    });
    events.shutdown().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    settling.await.unwrap();
}

#[subscribe(retry = 3, idempotent)]
async fn contradicts(_event: &Uploaded, _first: Receipt, _second: Receipt) {}

#[tokio::test(start_paused = true)]
async fn the_options_that_settle_an_event_do_not_go_with_a_receipt() {
    let (builder, _) = manager_of(module_path!());
    let id = format!("{}::contradicts", module_path!());
    let error = builder.subscribers(&id).start().await.unwrap_err().to_string();
    for option in ["a second `Receipt`", "`retry`", "`idempotent`"] {
        assert!(error.contains(&format!("so {option} does not go with it")), "{error}");
    }
    assert!(!error.contains("`ordered`") && error.contains("receipts.rs:"), "{error}");
}
