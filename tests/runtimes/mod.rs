//! The end of the Tokio runtime that the buses run on, on each backend: the program `runtimes`.

use std::process::Command;

/// On a bus that nothing else uses, with runtimes of one thread and of several.
pub(crate) fn a_runtime_that_has_ended_is_told_and_init_may_start_anew(backend: &str, url: &str) {
    for threads in ["one", "two"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_runtimes"));
        program.arg(threads).env("EVENT_BACKEND", backend).env("EVENT_SERVICE", threads);
        program.env("EVENT_KEY_PREFIX", format!("{threads}:"));
        program.env("EVENT_EXCHANGE_NAME", format!("runtimes-{threads}"));
        if !url.is_empty() {
            program.env("EVENT_URL", url);
        }
        let output = program.output().expect("Cargo has built the program");
        let printed = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        let ended = "the Tokio runtime that the buses were started on has ended";
        let expected = format!(
            "second init: true\n\
             publish: the Tokio runtime that the bus `default` was started on has ended; start the buses again on this \
             one\n\
             publish_all: true\n\
             health: false \"{ended}\"\n\
             shutdown: {ended} before the shutdown\n\
             shutdown again: true\n\
             init anew: handled\n"
        );
        // What was in flight is counted if its subscription had not been let go of before.
        let counted = "; what was not settled by then goes back to its broker, or is lost in `memory`: 1 for \
                       `runtimes::answer`;";
        assert_eq!(printed.replace(counted, ""), expected, "{backend}, {threads} threads: {said}");
        assert!(output.status.success(), "{backend}, {threads} threads: {said}");
    }
}
