//! The program of a user who has all buses in memory: what it compiles, and what it says of backends that are not in it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

/// The most crates that it may compile, itself included.
const MOST_CRATES: usize = 35;

/// The folder of the program: a copy of the fixture, which Cargo resolves by the versions of the workspace, so that it
/// has them at hand, and in which it may write.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = tests.parent().expect("the package is a folder of the workspace");
    let fixture = tests.join("fixtures/memory-only");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("memory-only");

    let manifest = fs::read_to_string(fixture.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("../../..", workspace.to_str().expect("a path in Unicode"));
    fs::create_dir_all(program.join("src")).unwrap();
    fs::write(program.join("Cargo.toml"), manifest).unwrap();
    fs::copy(fixture.join("src/main.rs"), program.join("src/main.rs")).unwrap();
    fs::copy(workspace.join("Cargo.lock"), program.join("Cargo.lock")).unwrap();
    program
});

fn cargo(arguments: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    let ended = cargo.args(arguments).arg("--offline").current_dir(&*PROGRAM).output().unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    text(&ended.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_program_on_memory_compiles_few_crates() {
    let tree = cargo(&["tree", "--edges=normal,build", "--prefix=none", "--no-dedupe"]);
    let crates: BTreeSet<_> = tree.lines().filter(|line| !line.is_empty()).collect();
    // `println!` would keep the figure from those for whom the test passes.
    let count = crates.len();
    writeln!(std::io::stdout(), "\n{count} crates, of {MOST_CRATES} at most").unwrap();
    assert!(count > 10, "this is no tree of dependencies:\n{tree}");
    assert!(count <= MOST_CRATES, "{count} crates: {crates:#?}");
}

#[test]
fn a_backend_that_is_not_in_the_build_is_an_error_that_names_the_cargo_feature() {
    let target = PROGRAM.join("target");
    cargo(&["build", "--target-dir", target.to_str().expect("a path in Unicode")]);
    let run = |variables: &[(&str, &str)]| -> Output {
        let mut program = Command::new(target.join("debug/memory-only"));
        program.env_clear().envs(variables.iter().copied()).output().unwrap()
    };

    let handled = run(&[]);
    assert_eq!(text(&handled.stdout), "an order for 99.00\n", "{}", text(&handled.stderr));

    let feature = |name| {
        format!("which is not part of this build: enable the Cargo feature `{name}` of aury-events")
    };
    let unlinked = "which no linked crate registers; there is `memory`. A dependency is linked only when code names \
                    it: `use the_crate as _;`";
    let misspelt = "which no linked crate registers; did you mean `rabbitmq`?";
    for (backend, url, reason) in [
        ("redis", "redis://shop:hunter2@cache", feature("redis")),
        ("redis-streams", "redis://shop:hunter2@cache", feature("redis")),
        ("rabbitmq", "amqps://shop:hunter2@broker", feature("rabbitmq")),
        ("rabitmq", "amqps://shop:hunter2@broker", misspelt.to_owned()),
        ("nats", "nats://shop:hunter2@broker", unlinked.to_owned()),
    ] {
        let refused = run(&[("EVENT_BACKEND", backend), ("EVENT_URL", url)]);
        assert_eq!(
            text(&refused.stderr),
            format!(
                "Error: the event buses cannot start: the bus `default` is to use the backend `{backend}`, {reason}\n"
            )
        );
        assert_eq!((text(&refused.stdout), refused.status.code()), (String::new(), Some(1)));
    }
}
