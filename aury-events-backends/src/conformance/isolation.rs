//! Buses that share a server and have namespaces of their own know nothing of each other.

use super::{
    failures::letters_of,
    patterns::pattern,
    process::Process,
    subject::Unsupported,
    subscriber::dead_letter,
    trial::{Need, Trial},
};
use crate::registry::Connect;

/// The same service, on another bus of the same server. Its name begins with the other one's, the better to be
/// mistaken for it.
async fn neighbour(trial: &Trial) -> Process {
    let mut connect: Connect = trial.connect("shop");
    connect.bus = format!("{}_inner", connect.bus).into();
    trial.process_as(connect).await
}

pub(super) async fn two_namespaces_do_not_mix(trial: &Trial) -> Result<(), Unsupported> {
    let (ours, theirs) = (trial.process("shop").await, neighbour(trial).await);
    let mut here = ours.subscribe("mail").await;
    let mut there = theirs.subscribe("mail").await;
    for number in 0..50 {
        ours.publish(number).await;
        theirs.publish(1000 + number).await;
    }
    for number in 0..50 {
        here.expect(number).await;
        there.expect(1000 + number).await;
    }
    ours.publish(50).await;
    dead_letter(here.next().await, "it never works").await;
    assert_eq!(letters_of(&ours).await.len(), 1);
    assert!(letters_of(&theirs).await.is_empty());
    ours.close().await;
    theirs.publish(1050).await;
    there.expect(1050).await;
    Ok(())
}

pub(super) async fn a_pattern_stays_in_its_namespace(trial: &Trial) -> Result<(), Unsupported> {
    trial.needs(Need::Patterns)?;
    let (ours, theirs) = (trial.process("shop").await, neighbour(trial).await);
    let mut here = ours.subscribe_to("all", pattern("#")).await;
    let mut there = theirs.subscribe_to("all", pattern("#")).await;
    for number in 0..50 {
        theirs.publish(1000 + number).await;
        ours.publish(number).await;
        here.expect(number).await;
        there.expect(1000 + number).await;
    }
    Ok(())
}
