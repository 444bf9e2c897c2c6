//! The example `shop`, run as its users run it, on real and on malformed input.

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

const PURCHASES: &str = "examples/data/purchases.txt";

/// What the report counts, computed from its input in one line of another language. Money is in cents.
const AWK: &str = r#"{ cents = int($5 * 100 + 0.5); orders++; cds += $4; revenue += cents; if (!known[$1]++) customers++; if (cents >= 20000) high++; if (cents == 0) free++; if (cents > 40000) declined++ } END { printf "%.0f %.0f %.0f %.0f %.0f %.0f %.0f", orders, cds, revenue, customers, high, free, declined }"#;

const AWK_COUNTS: [&str; 7] = [
    "orders",
    "CDs",
    "revenue",
    "customers",
    "high-value orders",
    "zero-amount orders",
    "payments declined",
];

/// A command that runs at the top of the workspace, with no configuration from outside.
fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"EVENT_") {
            command.env_remove(name);
        }
    }
    command
}

/// The example. Cargo builds it if need be: testing this package alone does not.
fn shop() -> Command {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut build = command(env!("CARGO"));
        build.args(["build", "--quiet", "--example", "shop", "--message-format", "json"]);
        let output = build.output().expect("cargo runs");
        let mut messages = stdout(&output).lines().map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("cargo prints JSON")
        });
        let built = messages.find_map(|message| message["executable"].as_str().map(PathBuf::from));
        built.expect("cargo names what it built")
    });
    command(&*BUILT)
}

fn with_stdin(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    child.stdin.take().expect("it is piped").write_all(input).expect("the program reads it all");
    child.wait_with_output().expect("the program ends")
}

fn stdout(output: &Output) -> &str {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    stdout
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("programs print UTF-8")
}

/// The value that stands behind a count in the report, with neither `$` nor separators.
fn value(report: &str, count: &str) -> String {
    let values: Vec<_> = report
        .lines()
        .filter_map(|line| line.rsplit_once("  "))
        .filter(|(before, _)| before.trim_end().ends_with(&format!("  {count}")))
        .map(|(_, value)| value.trim().replace(['$', ',', '.'], ""))
        .collect();
    let [value] = &values[..] else { panic!("`{count}` is not there once:\n{report}") };
    value.clone()
}

fn assert_equals_awk(report: &str, awk: &Output) {
    let expected: Vec<_> = stdout(awk).split(' ').collect();
    let counted = AWK_COUNTS.map(|count| value(report, count));
    assert_eq!(counted[..], expected, "{AWK_COUNTS:?}");
}

#[test]
fn the_totals_of_all_subscribers_are_those_that_awk_computes() {
    let output = shop().output().expect("it runs");
    let report = stdout(&output);
    assert_eq!(
        text(&output.stderr),
        "",
        "nothing to complain about, and no bar without a terminal"
    );
    assert_equals_awk(report, &command("awk").args([AWK, PURCHASES]).output().expect("awk runs"));

    // The chains lose nothing on their way.
    let number = |count| value(report, count).parse::<u64>().expect("a number");
    for (whole, parts) in [
        ("orders", ["paid orders", "cancelled orders"]),
        ("orders", ["payments captured", "payments declined"]),
        ("orders", ["order.shipped", "order.cancelled"]),
        ("paid orders", ["letters", "parcels"]),
    ] {
        assert_eq!(number(whole), number(parts[0]) + number(parts[1]), "{whole}: {parts:?}");
    }
    for (one, other) in [
        ("orders", "order.created"),
        ("paid orders", "shipped orders"),
        ("CDs reserved", "CDs shipped"),
        ("customers", "welcome mails"),
        ("promoted customers", "thank-you mails"),
    ] {
        assert_eq!(number(one), number(other), "{one}, {other}");
    }

    let again = shop().output().expect("it runs");
    assert_eq!(stdout(&again), report, "the same input gives the same report");
}

#[test]
fn a_malformed_line_is_reported_with_its_number_and_skipped_and_nothing_else_is_lost() {
    let lines: [(&[u8], Option<&str>); 18] = [
        (b"00001 0001 19970101  2   29.33\r\n", None),
        (b"\r\n", None),
        (
            b"00001 0001 19970230  2   29.33\r\n",
            Some("the date \"19970230\" is not a day, as in 19970131"),
        ),
        (
            b"00001 0001 1997-01-01  2   29.33\n",
            Some("the date \"1997-01-01\" is not a day, as in 19970131"),
        ),
        (
            b"00001 19970101  2   29.33\n",
            Some("the line has 4 fields, not 5: customer, sample, date, number of CDs, amount"),
        ),
        (
            b"00001 0001 19970101  2   29.33 now\n",
            Some("the line has 6 fields, not 5: customer, sample, date, number of CDs, amount"),
        ),
        (b"\n", None),
        (b"0000\xff 0001 19970101  2   29.33\n", Some("byte 5 of the line is not UTF-8")),
        (
            b"00002 0002 19970101 -2   29.33\n",
            Some("the number of CDs \"-2\" is not a whole number from 1 to 4294967295"),
        ),
        (
            b"00002 0002 19970101 4294967296 1.00\n",
            Some("the number of CDs \"4294967296\" is not a whole number from 1 to 4294967295"),
        ),
        (
            b"00002 0002 19970101 1 -29.33\n",
            Some("the amount \"-29.33\" is not in dollars and cents, from 0.00 to 42949672.95"),
        ),
        (
            b"00002 0002 19970101 1 42949672.96\n",
            Some(
                "the amount \"42949672.96\" is not in dollars and cents, from 0.00 to 42949672.95",
            ),
        ),
        (
            b"00002 0002 19970101 1 1e3\n",
            Some("the amount \"1e3\" is not in dollars and cents, from 0.00 to 42949672.95"),
        ),
        (b"00002 0002 20000229 1 42949672.95\n", None),
        (b"\t00003\t0003 19970101 1 200\n", None),
        (b"00004 0004 19970101 1 0.00\n", None),
        (&[b'x'; 5000], Some("the line is longer than 4096 bytes")),
        (b"\n00001 0001 19980101 40 399.9", None),
    ];
    let mut input = Vec::new();
    let mut complaints = String::new();
    let mut orders = Vec::new();
    for (number, (line, complaint)) in (1..).zip(lines) {
        input.extend_from_slice(line);
        match complaint {
            Some(complaint) => complaints += &format!("stdin:{number}: {complaint}\n"),
            None => orders.extend_from_slice(line),
        }
    }
    let mut shop = shop();
    shop.arg("-");
    let output = with_stdin(shop, &input);
    let report = stdout(&output);
    assert_eq!(text(&output.stderr), complaints);
    assert!(
        report.starts_with("stdin: 5 orders published, 11 malformed lines skipped\n"),
        "{report}"
    );

    let mut awk = command("awk");
    awk.arg(format!("NF == 5 {AWK}"));
    assert_equals_awk(report, &with_stdin(awk, &orders));
}

#[test]
fn input_that_cannot_be_read_is_an_error() {
    for (input, complaint) in
        [("no-such-file", "cannot read no-such-file: "), ("examples", "cannot read examples: ")]
    {
        let output = shop().arg(input).output().expect("it runs");
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(text(&output.stderr).starts_with(complaint), "{output:?}");
    }
}

#[test]
fn the_environment_selects_the_subscribers_that_run() {
    let report = |subscribers| {
        let output = shop().env("EVENT_SUBSCRIBERS", subscribers).output().expect("it runs");
        stdout(&output).to_owned()
    };
    assert!(report("none").ends_with("\nno subscriber runs in this process\n"));

    let users = report("shop::users::*");
    assert_eq!(value(&users, "welcome mails"), "2357");
    assert_eq!(value(&users, "promoted customers"), "0", "nobody takes payments");
    assert!(!users.contains("shop::orders"), "{users}");
}
