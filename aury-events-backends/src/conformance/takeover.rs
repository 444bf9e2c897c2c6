//! Work that was not acknowledged is taken over by another process of the service.

use std::{
    mem::ManuallyDrop,
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

use tokio::runtime::{Builder, Handle};

use super::{
    ledger::Ledger,
    sharing::publish,
    subject::Unsupported,
    subscriber::numbered,
    trial::{Need, Trial},
    wait::{DEADLINE, in_time},
};

/// More than one process takes in at a time.
const EVENTS: u32 = 100;

/// The longest that a check waits for a backend to take a process for dead.
const PATIENCE: Duration = Duration::from_secs(10);

fn needs_takeover(trial: &Trial) -> Result<(), Unsupported> {
    trial.needs(Need::AtLeastOnce)?;
    trial.needs(Need::SharedWork)?;
    trial.needs(Need::Remote)?;
    if trial.redelivery_time() > PATIENCE {
        let time = trial.redelivery_time();
        return Err(Unsupported::new(format!("redelivery takes up to {time:?}, which is long")));
    }
    Ok(())
}

pub(super) async fn what_a_subscriber_held_when_it_left_goes_to_another_process(
    trial: &Trial,
) -> Result<(), Unsupported> {
    needs_takeover(trial)?;
    let (publishing, leaving) = trial.two_processes().await;
    let mut leaves = leaving.subscribe("mail").await;
    let ledger = Ledger::of(["mail"]);
    publish(&publishing, &ledger, 0..EVENTS).await;
    let held = leaves.next().await;
    let id = held.metadata().id();
    drop(leaves);
    drop(held);
    leaving.close().await;

    let taking_over = trial.process("shop").await.subscribe("mail").await;
    let worker = taking_over.handle_into(&ledger);
    ledger.complete_within(DEADLINE + trial.redelivery_time()).await;
    assert!(ledger.balance().done >= EVENTS as usize);
    let again = worker.seen.all().iter().find(|sight| sight.event.number == 0).copied();
    assert!(again.is_some_and(|sight| sight.attempt <= 2), "{id} comes again");
    ledger.verify(0);
    Ok(())
}

pub(super) async fn what_a_killed_process_held_goes_to_another(
    trial: &Trial,
) -> Result<(), Unsupported> {
    needs_takeover(trial)?;
    let publishing = trial.process("till").await;
    let doomed = Doomed::start();
    let connect = trial.connect("shop");
    let subject = trial.subject();
    let subscriber = doomed.run(async move {
        let backend = ManuallyDrop::new(subject.connect(connect.clone()).await);
        let backend = backend.as_ref().expect("the doomed process connects");
        let process =
            super::process::Process { backend: backend.clone(), service: connect.service };
        let subscriber = process.subscribe("mail").await;
        std::mem::forget(process);
        subscriber
    });
    let mut subscriber = subscriber.await;
    let ledger = Ledger::of(["mail"]);
    publish(&publishing, &ledger, 0..EVENTS).await;
    let (subscriber, held) = doomed
        .run(async move {
            let held = subscriber.next().await;
            (ManuallyDrop::new(subscriber), ManuallyDrop::new(held))
        })
        .await;
    assert_eq!(numbered(&held).number, 0);
    doomed.kill().await;
    let _never_dropped = (subscriber, held);

    let worker = trial.process("shop").await.subscribe("mail").await.handle_into(&ledger);
    ledger.complete_within(DEADLINE + trial.redelivery_time()).await;
    let again = worker.seen.all().iter().find(|sight| sight.event.number == 0).copied();
    assert!(again.is_some_and(|sight| sight.attempt <= 2), "it comes again");
    ledger.verify(0);
    Ok(())
}

pub(super) async fn a_slow_process_keeps_what_it_holds(trial: &Trial) -> Result<(), Unsupported> {
    needs_takeover(trial)?;
    let (publishing, slow) = trial.two_processes().await;
    let mut slow = slow.subscribe("mail").await;
    publishing.publish(0).await;
    let held = slow.next().await;
    let idle = trial.process("shop").await.subscribe("mail").await.handle_all();
    // The time itself is what is tested here: longer than a dead process's work would be left alone.
    tokio::time::sleep(trial.redelivery_time() * 2).await;
    assert_eq!(idle.seen.count(), 0, "a live process was robbed of an event it handled");
    super::subscriber::ack(held).await;
    Ok(())
}

/// A runtime of its own, standing for a process that dies: all its tasks and connections end at once.
struct Doomed {
    handle: Handle,
    life: Sender<()>,
    thread: JoinHandle<()>,
}

impl Doomed {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let handle = runtime.handle().clone();
        let (life, death): (Sender<()>, Receiver<()>) = channel();
        let thread = std::thread::spawn(move || {
            // It ends when the other end is dropped.
            let _ = death.recv();
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        Self { handle, life, thread }
    }

    async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.handle.spawn(work).await.expect("the doomed process works while it lives")
    }

    /// Ends it without a further word to anybody.
    async fn kill(self) {
        drop(self.life);
        let thread = self.thread;
        let death = tokio::task::spawn_blocking(move || thread.join());
        let died = in_time("a runtime shuts down", death).await;
        assert!(died.is_ok_and(|thread| thread.is_ok()), "a runtime shuts down without panic");
    }
}
