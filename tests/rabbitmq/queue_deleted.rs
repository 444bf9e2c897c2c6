//! A queue that somebody deletes under load: it takes what it held with it, and nothing else.

use aury_events::QueueType;
use tokio::task::block_in_place;

use crate::{
    chaos::{SUBSCRIBERS, Storm, ends},
    support::{SOON, eventually, until},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_deleted_queue_takes_nothing_with_it_but_what_it_held() {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        deleted_under_load(queue_type).await;
    }
}

async fn deleted_under_load(queue_type: QueueType) {
    let storm = Storm::gathers(queue_type).await;
    let queue = storm.place.queue(SUBSCRIBERS[0]);
    let load = storm.load();
    storm.builds_up().await;
    block_in_place(|| storm.server.ctl(&["delete_queue", &queue]));
    let took = eventually("it is declared and consumed again", SOON, async || {
        let listed = block_in_place(|| storm.server.ctl(&["list_queues", "name", "consumers"]));
        listed.lines().any(|line| line == format!("{queue}\t2"))
    })
    .await;
    let back = storm.ledger.published();
    storm.ledger.calms_down();
    ends(load).await;
    until("the other subscriber misses nothing", SOON, || storm.ledger.missing(1, 0).is_empty())
        .await;
    until("later ones all arrive", SOON, || storm.ledger.missing(0, back).is_empty()).await;
    storm.is_over().await;
    for (bus, _) in &storm.workers {
        let subscriptions = bus.health().subscriptions;
        let mail = subscriptions.iter().find(|it| &*it.subscriber == SUBSCRIBERS[0]).unwrap();
        assert!(mail.is_live && mail.problem.is_none(), "a problem goes when it is over: {mail:?}");
    }
    println!(
        "{queue_type}: back after {took:?}, {} lost with it",
        storm.ledger.missing(0, 0).len()
    );
}
