//! Who gets an event: one process of each service, or all of them.

use super::{
    ledger::Ledger,
    process::{ORDER_CREATED, Process, order},
    subject::Unsupported,
    subscriber::{Worker, ack},
    trial::{Need, Trial},
    wait::DEADLINE,
};
use crate::envelope::{EventId, Topic};

/// More than a process takes in at a time, so that something is left for another one.
const EVENTS: u32 = 500;

pub(super) async fn processes_of_one_service_share_the_work(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::SharedWork)?;
    trial.needs(Need::Remote)?;
    let publishing = trial.process("till").await;
    let mut one = trial.process("shop").await.subscribe("mail").await;
    let mut other = trial.process("shop").await.subscribe("mail").await;
    let ledger = Ledger::of(["mail"]);
    publish(&publishing, &ledger, 0..EVENTS).await;
    // Each gets something before any is done with anything.
    let firsts = [one.next().await, other.next().await];
    for first in firsts {
        ledger.done("mail", first.metadata().id());
        ack(first).await;
    }
    let workers = [one.handle_into(&ledger), other.handle_into(&ledger)];
    ledger.complete_within(DEADLINE).await;
    let taken = workers.each_ref().map(|worker| worker.seen.count());
    assert_eq!(taken[0] + taken[1] + 2, EVENTS as usize);
    ledger.verify(0);
    Ok(())
}

pub(super) async fn without_shared_work_every_process_gets_every_event(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::NoSharedWork)?;
    trial.needs(Need::Remote)?;
    let publishing = trial.process("till").await;
    let workers = [
        trial.process("shop").await.subscribe("mail").await.handle_all(),
        trial.process("shop").await.subscribe("mail").await.handle_all(),
    ];
    everybody_gets_everything(&publishing, &workers).await;
    Ok(())
}

pub(super) async fn every_service_gets_every_event(trial: &Trial) -> Result<(), Unsupported> {
    trial.needs(Need::Remote)?;
    let publishing = trial.process("till").await;
    let workers = [
        trial.process("shop").await.subscribe("mail").await.handle_all(),
        trial.process("bank").await.subscribe("mail").await.handle_all(),
        trial.process("bank").await.subscribe("audit").await.handle_all(),
    ];
    everybody_gets_everything(&publishing, &workers).await;
    Ok(())
}

pub(super) async fn a_broadcast_reaches_every_process(trial: &Trial) -> Result<(), Unsupported> {
    trial.needs(Need::Remote)?;
    let publishing = trial.process("till").await;
    let mut workers = Vec::new();
    for _ in 0..3 {
        let process = trial.process("shop").await;
        let spec = process.spec("cache", Topic::Event(ORDER_CREATED)).broadcast();
        workers.push(process.subscribe_as(spec).await.handle_all());
    }
    everybody_gets_everything(&publishing, &workers).await;
    Ok(())
}

async fn everybody_gets_everything(publishing: &Process, workers: &[Worker]) {
    for number in 0..EVENTS {
        publishing.publish(number).await;
    }
    for worker in workers {
        worker.seen.has(EVENTS - 1).await;
        let numbers: Vec<_> = worker.seen.all().iter().map(|it| it.event.number).collect();
        assert!(numbers.iter().copied().eq(0..EVENTS), "each event once: {numbers:?}");
    }
}

pub(super) async fn publish(
    process: &Process,
    ledger: &Ledger,
    numbers: impl IntoIterator<Item = u32>,
) -> Vec<EventId> {
    let mut ids = Vec::new();
    for number in numbers {
        let order = order(number);
        ids.push(order.metadata().id());
        process.publish_into(ledger, order).await.expect("nothing is in its way");
    }
    ids
}
