//! How many dead letters are kept, and how large a page of them is.

use std::sync::Arc;

use aury_events_backends::{Backend, redis::streams::StreamsBackend};

use crate::backends::{
    Server, Subscriber, event, fail_next, large_event, letters, publish, subscribed, to, to_order,
};

async fn fail(backend: &StreamsBackend, consumer: &mut Subscriber, numbers: std::ops::Range<u64>) {
    publish(backend, "order", numbers.clone()).await;
    for _ in numbers {
        fail_next(consumer).await;
    }
}

fn numbers(letters: &[aury_events_backends::DeadLetter]) -> Vec<u64> {
    let number =
        |it: &aury_events_backends::DeadLetter| it.envelope.payload().decode_json().unwrap();
    letters.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn too_many_letters_push_out_the_oldest_of_their_subscriber_and_are_counted() {
    let server = Server::start();
    let backend = server.backend_with(|config| config.dead_letter_max_count = 5).await;
    let mut mail = subscribed(&backend, to_order()).await;
    let mut other = subscribed(&backend, to("user", "audit")).await;
    backend.publish(event("user", 100)).await.unwrap();
    fail_next(&mut other).await;
    fail(&backend, &mut mail, 0..12).await;
    assert_eq!(numbers(&letters(&backend).await), [7, 8, 9, 10, 11]);
    assert_eq!(backend.health().dropped_dead_letters, 7);
    let mut theirs = backend.dead_letters(&["audit".into()]).await.unwrap();
    assert_eq!(numbers(&theirs.next_page().await.unwrap()), [100]);
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn letters_are_bounded_in_bytes_and_one_always_fits() {
    let server = Server::start();
    let backend = server.backend_with(|config| config.dead_letter_max_bytes = 100_000).await;
    let mut mail = subscribed(&backend, to_order()).await;
    for _ in 0..10 {
        backend.publish(large_event("order", 30_000)).await.unwrap();
        fail_next(&mut mail).await;
    }
    assert_eq!((letters(&backend).await.len(), backend.health().dropped_dead_letters), (3, 7));
    backend.publish(large_event("order", 200_000)).await.unwrap();
    fail_next(&mut mail).await;
    assert_eq!((letters(&backend).await.len(), backend.health().dropped_dead_letters), (1, 10));
    // What is purged or replayed makes room.
    letters(&backend).await.remove(0).purge().await.unwrap();
    let size: i64 = server.ask("GET events::dead-letter-bytes:shop/mail").await;
    assert_eq!(size, 0);
    for _ in 0..3 {
        backend.publish(large_event("order", 30_000)).await.unwrap();
        fail_next(&mut mail).await;
    }
    assert_eq!(letters(&backend).await.len(), 3);
    letters(&backend).await.remove(0).replay().await.unwrap();
    fail_next(&mut mail).await;
    assert_eq!((letters(&backend).await.len(), backend.health().dropped_dead_letters), (3, 10));
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_page_of_large_letters_is_a_short_one() {
    let (_server, [backend]) = Server::with_backends().await;
    let mut mail = subscribed(&backend, to_order()).await;
    for _ in 0..8 {
        backend.publish(large_event("order", 500_000)).await.unwrap();
        fail_next(&mut mail).await;
    }
    fail(&backend, &mut mail, 0..150).await;
    let mut reader = backend.dead_letters(&["mail".into()]).await.unwrap();
    let mut pages = Vec::new();
    loop {
        let page = reader.next_page().await.unwrap();
        if page.is_empty() {
            break;
        }
        pages.push(page.len());
    }
    assert_eq!(pages, [3, 3, 100, 52], "three of half a megabyte, or a hundred");
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_count_of_bytes_that_others_have_spoilt_mends_itself() {
    let server = Server::start();
    let backend: Arc<_> = server.backend_with(|config| config.dead_letter_max_bytes = 10_000).await;
    let mut mail = subscribed(&backend, to_order()).await;
    fail(&backend, &mut mail, 0..3).await;
    server.ask::<()>("SET events::dead-letter-bytes:shop/mail nonsense").await;
    fail(&backend, &mut mail, 3..6).await;
    assert_eq!(letters(&backend).await.len(), 6);
    server.ask::<()>("SET events::dead-letter-bytes:shop/mail 999999999").await;
    fail(&backend, &mut mail, 6..9).await;
    assert_eq!(letters(&backend).await.len(), 3, "too much was dropped once");
    backend.close().await.unwrap();
}
