//! Managers that are dropped without a shutdown leave nothing behind, on each backend.

use std::process::{Command, Stdio};

/// Runs the program `dropping` with these variables.
pub(crate) fn fifty_dropped_managers_leave_nothing(variables: &[(&str, &str)]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropping"));
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    let output = command.output().expect("Cargo has built the program");
    let text = |bytes| String::from_utf8(bytes).expect("programs print text");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    let end: Vec<_> = stderr.lines().rev().take(20).collect();
    assert!(output.status.success(), "{stdout}{end:#?}");
    let warnings = stderr.matches("5 subscriptions end, and ").count();
    assert_eq!(warnings, 50, "each says once what was left: {end:#?}");
}
