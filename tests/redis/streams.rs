//! What `EVENT_BACKEND=redis-streams` promises beyond the conformance suite, on servers of the tests' own:
//! `cargo test -p aury-events-tests --test redis streams:: -- --ignored`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use aury_events_backends::{Backend, DeadLetterReason, Settlement};
use redis::Value;

use crate::backends::{
    DEADLINE, MIN_IDLE, Server, ack, close, event, eventually, handle_all, large_event, letters,
    next, next_within, number, publish, subscribed, to_order, to_pattern,
};
use crate::support::Logged;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn processes_of_a_service_share_the_work_exactly() {
    let (server, [one, two]) = Server::with_backends().await;
    let first = tokio::spawn(handle_all(subscribed(&one, to_order()).await));
    let second = tokio::spawn(handle_all(subscribed(&two, to_order()).await));
    publish(&one, "order", 0..3_000).await;
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(!first.is_empty() && !second.is_empty(), "both take part");
    let mut all = [first, second].concat();
    all.sort_unstable();
    assert_eq!(all, (0..3_000).collect::<Vec<_>>());
    one.in_flight().settled().await;
    assert_eq!(server.pending().await, Value::Int(0), "everything is acknowledged");
    close([&one, &two]).await;
    two.close().await.expect("closing again changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_a_dead_process_held_is_handled_by_another_once() {
    let (server, [one, two]) = Server::with_backends().await;
    let mut dying = subscribed(&one, to_order()).await;
    publish(&two, "order", 0..10).await;
    let held = next(&mut dying).await;
    assert_eq!((number(&held), held.attempt()), (0, 1));
    // It dies between handler and acknowledgement: its tasks end where they are.
    std::mem::forget(held);
    std::mem::forget(dying);
    drop(one);
    let mut other = subscribed(&two, to_order()).await;
    let mut attempts = HashMap::new();
    while let Some(delivery) = next_within(&mut other, MIN_IDLE * 4).await {
        let attempt = delivery.attempt();
        assert_eq!(attempts.insert(ack(delivery).await, attempt), None, "once");
        if attempts.len() == 10 {
            break;
        }
    }
    assert_eq!(attempts.len(), 10);
    assert!(attempts.values().all(|attempt| *attempt == 1), "that it died counts as no attempt");
    assert!(next_within(&mut other, MIN_IDLE * 2).await.is_none());
    eventually("the dead consumer is removed", async || server.consumers().await == 1).await;
    two.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_slow_handler_keeps_what_it_holds() {
    let (_server, [one, two]) = Server::with_backends().await;
    let mut slow = subscribed(&one, to_order()).await;
    publish(&two, "order", 0..1).await;
    let held = next(&mut slow).await;
    let mut other = subscribed(&two, to_order()).await;
    assert!(next_within(&mut other, MIN_IDLE * 4).await.is_none(), "nothing is taken from it");
    ack(held).await;
    one.in_flight().settled().await;
    assert!(next_within(&mut other, MIN_IDLE).await.is_none());
    close([&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_server_that_stood_still_makes_nobody_steal() {
    let (server, [one, two]) = Server::with_backends().await;
    let mut slow = subscribed(&one, to_order()).await;
    publish(&two, "order", 0..1).await;
    let held = next(&mut slow).await;
    let mut other = subscribed(&two, to_order()).await;
    tokio::time::sleep(MIN_IDLE * 2).await;
    server.0.pause();
    tokio::time::sleep(MIN_IDLE * 2).await;
    server.0.resume();
    assert!(next_within(&mut other, MIN_IDLE * 4).await.is_none(), "nothing is taken from it");
    ack(held).await;
    one.in_flight().settled().await;
    close([&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_process_that_shuts_down_leaves_its_entries_at_once() {
    let (_server, [one, two]) = Server::with_backends().await;
    let mut leaving = subscribed(&one, to_order()).await;
    publish(&two, "order", 0..5).await;
    let begun = next(&mut leaving).await;
    let mut other = subscribed(&two, to_order()).await;
    tokio::time::sleep(MIN_IDLE * 2).await;
    drop(leaving);
    drop(begun);
    one.close().await.unwrap();
    let left = Instant::now();
    let mut attempts = HashMap::new();
    while attempts.len() < 5 {
        let delivery = next(&mut other).await;
        let attempt = delivery.attempt();
        attempts.insert(ack(delivery).await, attempt);
    }
    assert!(left.elapsed() < MIN_IDLE, "took {:?}", left.elapsed());
    assert!(attempts.values().all(|attempt| *attempt == 1), "that it ended counts as no attempt");
    two.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_flushed_server_is_set_up_again_and_nothing_published_after_it_is_missed() {
    let (server, [backend]) = Server::with_backends().await;
    let mut exact = subscribed(&backend, to_order()).await;
    let mut pattern = subscribed(&backend, to_pattern("#")).await;
    let mut broadcast = subscribed(&backend, to_order().broadcast()).await;
    publish(&backend, "order", 0..5).await;
    for consumer in [&mut exact, &mut pattern, &mut broadcast] {
        for expected in 0..5 {
            assert_eq!(ack(next(consumer).await).await, expected);
        }
    }
    backend.in_flight().settled().await;
    server.ask::<()>("FLUSHALL").await;
    publish(&backend, "order", 5..10).await;
    for consumer in [&mut exact, &mut pattern, &mut broadcast] {
        for expected in 5..10 {
            assert_eq!(ack(next(consumer).await).await, expected);
        }
    }
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_killed_server_loses_no_confirmed_event() {
    const EVENTS: u64 = 5_000;
    let (mut server, [publisher, worker]) = Server::with_backends().await;
    let mut consumer = subscribed(&worker, to_order()).await;
    let publishing = {
        let publisher = Arc::clone(&publisher);
        tokio::spawn(async move {
            let mut confirmed = HashSet::new();
            for number in 0..EVENTS {
                if publisher.publish(event("order", number)).await.is_ok() {
                    confirmed.insert(number);
                }
            }
            confirmed
        })
    };
    let mut handled: HashMap<u64, u32> = HashMap::new();
    let mut killed = 0;
    while handled.len() < EVENTS as usize {
        *handled.entry(ack(next(&mut consumer).await).await).or_default() += 1;
        if handled.len() > (killed + 1) * 1_500 {
            killed += 1;
            server.0.kill();
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.0.start_again();
        }
    }
    let confirmed = publishing.await.unwrap();
    assert!(killed >= 2);
    assert!(confirmed.iter().all(|number| handled.contains_key(number)), "confirmed ⊆ handled");
    while let Some(delivery) = next_within(&mut consumer, Duration::from_secs(1)).await {
        *handled.entry(ack(delivery).await).or_default() += 1;
    }
    let duplicates: u32 = handled.values().map(|times| times - 1).sum();
    assert!(duplicates <= 100, "{duplicates} duplicates");
    worker.in_flight().settled().await;
    close([&worker, &publisher]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn trimming_keeps_what_is_not_handled() {
    let (server, [backend]) = Server::with_backends().await;
    let mut consumer = subscribed(&backend, to_order()).await;
    let mut behind = subscribed(&backend, to_pattern("order")).await;
    let mut reader = subscribed(&backend, to_order().broadcast()).await;
    publish(&backend, "order", 0..1_000).await;
    let length = async || server.ask::<u64>("XLEN events:order").await;
    for _ in 0..1_000 {
        ack(next(&mut consumer).await).await;
        ack(next(&mut reader).await).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(length().await, 1_000, "one group has not handled any");
    for expected in 0..800 {
        assert_eq!(ack(next(&mut behind).await).await, expected);
    }
    eventually("what all have handled is removed", async || length().await < 400).await;
    assert!(length().await >= 200);
    for expected in 800..1_000 {
        assert_eq!(ack(next(&mut behind).await).await, expected);
    }
    eventually("little is left", async || length().await <= 200).await;
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn patterns_find_new_streams_and_miss_none_of_their_events() {
    let (server, [backend]) = Server::with_backends().await;
    let mut all = subscribed(&backend, to_pattern("order.*")).await;
    for (name, numbers) in [("order.created", 0..3), ("user.created", 3..6), ("order.paid", 6..9)] {
        publish(&backend, name, numbers).await;
    }
    let mut seen = HashSet::new();
    while seen.len() < 6 {
        seen.insert(ack(next(&mut all).await).await);
    }
    assert_eq!(seen, [0, 1, 2, 6, 7, 8].into());
    backend.in_flight().settled().await;
    backend.close().await.unwrap();
    // What appears while no process of the service runs is there for the next.
    let other = server.backend().await;
    publish(&other, "order.lost", 9..11).await;
    let mut all = subscribed(&other, to_pattern("order.*")).await;
    assert_eq!([ack(next(&mut all).await).await, ack(next(&mut all).await).await], [9, 10]);
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn retries_count_their_attempts_here_and_on_the_server() {
    let (_server, [backend]) = Server::with_backends().await;
    let mut consumer = subscribed(&backend, to_order()).await;
    publish(&backend, "order", 0..1).await;
    let mut due = Instant::now();
    for (attempt, after) in (1..).zip([0, 300, 1_500, 0].map(Duration::from_millis)) {
        let delivery = next(&mut consumer).await;
        assert!(Instant::now() >= due, "not before its time");
        assert_eq!((number(&delivery), delivery.attempt()), (0, attempt));
        due = Instant::now() + after;
        delivery.settle(Settlement::Retry { after }).await.unwrap();
    }
    // One that is dropped comes again, too.
    drop(next(&mut consumer).await);
    let last = next(&mut consumer).await;
    assert_eq!(last.attempt(), 6);
    let reason = DeadLetterReason::Panicked("enough".to_owned());
    last.settle(Settlement::DeadLetter(reason)).await.unwrap();
    backend.in_flight().settled().await;
    let letters = letters(&backend).await;
    assert_eq!((letters.len(), letters[0].attempts), (1, 6));
    assert!(letters[0].reason.contains("enough"));
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_delayed_retry_survives_its_process() {
    let (_server, [one, two]) = Server::with_backends().await;
    let mut consumer = subscribed(&one, to_order()).await;
    publish(&two, "order", 0..1).await;
    let after = Duration::from_millis(1_500);
    next(&mut consumer).await.settle(Settlement::Retry { after }).await.unwrap();
    one.in_flight().settled().await;
    drop((consumer, one));
    let mut other = subscribed(&two, to_order()).await;
    let again = next(&mut other).await;
    assert_eq!((number(&again), again.attempt()), (0, 2));
    ack(again).await;
    two.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_is_held_is_bounded_and_a_cancelled_consumer_hands_it_out() {
    let (server, [backend]) = Server::with_backends().await;
    let mut consumer = subscribed(&backend, to_order()).await;
    publish(&backend, "order", 0..600).await;
    // It reads when there is room for half of what it may hold.
    eventually("it reads ahead", async || backend.in_flight().count() > 128).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let held = backend.in_flight().count();
    assert!(held <= 256, "{held}");
    consumer.canceller().cancel();
    for expected in 0..held {
        assert_eq!(ack(next(&mut consumer).await).await, expected);
    }
    assert!(next_within(&mut consumer, DEADLINE).await.is_none());
    backend.in_flight().settled().await;
    eventually("it has left the group", async || server.consumers().await == 0).await;
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_is_no_event_becomes_a_dead_letter_and_blocks_nothing() {
    let (server, [backend]) = Server::with_backends().await;
    let mut consumer = subscribed(&backend, to_order()).await;
    server.ask::<String>("XADD events:order * event {broken").await;
    server.ask::<String>("XADD events:order * a 1 b 2").await;
    publish(&backend, "order", 7..8).await;
    assert_eq!(ack(next(&mut consumer).await).await, 7);
    backend.in_flight().settled().await;
    assert_eq!(letters(&backend).await.len(), 2);
    assert_eq!(server.pending().await, Value::Int(0));
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_a_subscriber_holds_is_bounded_in_bytes() {
    let server = Server::start();
    let backend = server.backend_with(|config| config.queue_bytes = 10_000).await;
    drop(subscribed(&backend, to_order()).await);
    for _ in 0..100 {
        backend.publish(large_event("order", 1_000)).await.unwrap();
    }
    let mut consumer = subscribed(&backend, to_order()).await;
    let held = next(&mut consumer).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let Value::Int(pending) = server.pending().await else { panic!("a count") };
    assert!((1..=10).contains(&pending), "{pending} events of more than 1,000 bytes are held");
    held.settle(Settlement::Ack).await.unwrap();
    for number in 1..100 {
        let delivery = next(&mut consumer).await;
        delivery.settle(Settlement::Ack).await.unwrap_or_else(|_| panic!("{number}"));
    }
    // One that is larger than all of it is handled, too.
    backend.publish(large_event("order", 50_000)).await.unwrap();
    next(&mut consumer).await.settle(Settlement::Ack).await.unwrap();
    backend.in_flight().settled().await;
    close([&backend]).await;
}

#[tokio::test]
#[ignore = "needs redis-server; tests/run installs it"]
async fn an_event_that_nobody_subscribes_to_is_warned_of_once() {
    let logged = Logged::start();
    let (_server, [backend]) = Server::with_backends().await;
    let mut group = subscribed(&backend, to_order()).await;
    let mut everywhere = subscribed(&backend, to_pattern("cache.#").broadcast()).await;
    publish(&backend, "order", 0..1).await;
    publish(&backend, "cache.stale", 0..1).await;
    publish(&backend, "unheard.of", 0..2).await;
    ack(next(&mut group).await).await;
    ack(next(&mut everywhere).await).await;
    let warnings = || logged.lines(&["nobody listens to this event"]);
    eventually("it is said", async || !warnings().is_empty()).await;
    publish(&backend, "unheard.of", 2..3).await;
    // The streams are trimmed three times.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let warnings = warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("unheard.of") && warnings[0].contains("100,000"), "{warnings:?}");
    backend.close().await.unwrap();
}
