//! How many instructions it takes to publish an event and to have it handled, counted by callgrind: a figure that is
//! nearly the same on every machine of one kind, and in every run.

use std::{io::Write, process::Command};

use serde_json::Value;

/// The most that one event may cost from `publish` until its one subscriber has handled it and it is settled: typed,
/// of three fields that own no heap, on the memory backend and a runtime of one thread.
const MOST_PER_EVENT: u64 = 1_535;

#[test]
#[ignore = "needs valgrind; tests/run installs it"]
fn publishing_and_handling_an_event_takes_few_instructions() {
    let program = build("hot_path");
    let stream = per_event(&program, "stream");
    let one_by_one = per_event(&program, "ping-pong");
    // `println!` would keep the figures from those for whom the test passes.
    let mut out = std::io::stdout();
    writeln!(out, "\nin a stream: {stream} instructions per event, of {MOST_PER_EVENT} at most")
        .unwrap();
    writeln!(out, "one by one: {one_by_one} instructions per event").unwrap();
    assert!(stream <= MOST_PER_EVENT, "{stream} instructions per event");
}

/// What an event costs, start and end of the program left out: the difference between two runs.
fn per_event(program: &str, mode: &str) -> u64 {
    let (few, many) = (10_000, 30_000);
    (instructions(program, mode, many) - instructions(program, mode, few)) / (many - few)
}

/// How many instructions the program executes in all.
fn instructions(program: &str, mode: &str, events: u64) -> u64 {
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args([program, mode, &events.to_string()])
        .output()
        .expect("valgrind is installed");
    let report = String::from_utf8_lossy(&counted.stderr);
    assert!(counted.status.success(), "{report}");
    let total = report.lines().find_map(|line| line.split_once("Collected :"));
    let (_, total) = total.unwrap_or_else(|| panic!("callgrind gives no total:\n{report}"));
    total.trim().parse().expect("the total is a number")
}

/// Builds a program of this package as users of memory alone run it, optimised; gives its path.
fn build(program: &str) -> String {
    let built = Command::new(env!("CARGO"))
        // What is compiled in increments is compiled in more parts, and less is inlined.
        .env("CARGO_INCREMENTAL", "0")
        .args([
            "build",
            "--release",
            "--message-format=json",
            "--no-default-features",
            "--bin",
            program,
        ])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let messages = String::from_utf8(built.stdout).unwrap();
    let of_artifact = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_program = message["target"]["name"] == program;
        message["executable"].as_str().filter(|_| is_program).map(str::to_owned)
    };
    messages.lines().find_map(of_artifact).expect("Cargo names what it has built")
}
