//! What the scenarios share.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use aury_events::{EventBusManagerBuilder, prelude::*};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

/// What subscribers did, in order. They take it as `State<Log>`.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// What subscribers did, where their order is not fixed.
    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut entries = self.entries();
        entries.sort();
        entries
    }
}

/// A manager that runs the subscribers of one module and gives them a log.
pub(crate) fn manager_of(module: &str) -> (EventBusManagerBuilder, Log) {
    let log = Log::default();
    let builder = EventBusManager::builder()
        .service("tests")
        .subscribers(format!("{module}::*"))
        .state(log.clone());
    (builder, log)
}

/// Waits for a condition to hold. To be called within [`in_time`].
pub(crate) async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// The outcome of `future`, which has to come in time: a deadlock fails instead of hanging.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("this should not take 30 seconds")
}

/// What became of a program.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program of `fixtures/programs` with no other `EVENT_*` variables than these.
pub(crate) async fn run(program: &str, variables: &[(&str, &str)]) -> Run {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EVENT_") {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = in_time(command.output()).await.expect("Cargo has built the program");
    let text = |bytes| String::from_utf8(bytes).expect("programs print text");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
