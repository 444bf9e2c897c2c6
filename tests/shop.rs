//! The example `shop`, run as its users run it, on real and on malformed input.

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod brokers;

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
        for (is_wanted, feature) in [
            (cfg!(feature = "redis"), "aury-events-examples/redis"),
            (cfg!(feature = "rabbitmq"), "aury-events-examples/rabbitmq"),
        ] {
            if is_wanted {
                build.args(["--features", feature]);
            }
        }
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

/// One publisher and two workers on a server, of one service.
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod processes {
    use std::{
        collections::BTreeMap,
        io::{BufRead, BufReader},
        process::Child,
        thread,
        time::{Duration, Instant},
    };

    use super::*;
    #[cfg(feature = "rabbitmq")]
    use crate::brokers::RabbitServer;
    #[cfg(feature = "redis")]
    use crate::brokers::RedisServer;

    /// A bus between processes.
    struct Bus {
        backend: &'static str,
        url: String,
    }

    /// A worker, up and running.
    fn worker(bus: &Bus, subscribers: &str) -> Child {
        let mut command = on(bus, subscribers);
        command.arg("--work").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.as_mut().expect("it is piped")).lines();
        let first = lines.next().expect("it says when it is up").expect("a line");
        assert_eq!(first, "working until standard input ends");
        child
    }

    fn on(bus: &Bus, subscribers: &str) -> Command {
        let mut command = shop();
        command.env("EVENT_BACKEND", bus.backend).env("EVENT_URL", &bus.url);
        command.env("EVENT_SUBSCRIBERS", subscribers);
        command
    }

    /// Waits until nothing is left to be handled, and nothing new has come meanwhile: `standing` gives how much is left,
    /// with whatever else is to stay the same.
    fn wait_until_all_is_handled(standing: impl Fn() -> String) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut before = String::new();
        while Instant::now() < deadline {
            let now = standing();
            if now == before && now.starts_with("0 ") {
                return;
            }
            before = now;
            thread::sleep(Duration::from_millis(100));
        }
        panic!("not everything was handled in a minute: {before}");
    }

    /// How many groups have not handled all that their streams hold, and a digest of where all of them stand.
    #[cfg(feature = "redis")]
    fn standing_of_redis(server: &RedisServer) -> String {
        const SCRIPT: &[u8] = b"
            local function fields(list)
                local map = {}
                for i = 1, #list, 2 do map[list[i]] = list[i + 1] end
                return map
            end
            local behind, places = 0, {}
            for _, key in ipairs(redis.call('KEYS', 'events:*')) do
                if redis.call('TYPE', key).ok == 'stream' then
                    local last = fields(redis.call('XINFO', 'STREAM', key))['last-generated-id']
                    for _, list in ipairs(redis.call('XINFO', 'GROUPS', key)) do
                        local group = fields(list)
                        local read = group['last-delivered-id']
                        if read ~= last or group['pending'] > 0 then behind = behind + 1 end
                        places[#places + 1] = key .. group['name'] .. read
                    end
                end
            end
            table.sort(places)
            return behind .. ' ' .. #places .. ' ' .. redis.sha1hex(table.concat(places))";
        let answer = server.command(&[b"EVAL", SCRIPT, b"0"]).expect("the server answers");
        let answer = answer.lines().nth(1).unwrap_or_else(|| panic!("a bulk string: {answer}"));
        assert!(!answer.starts_with("0 0 "), "there are groups");
        answer.to_owned()
    }

    /// What each subscriber did, added up over several reports.
    fn added_up(reports: &[&str]) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for report in reports {
            let mut subscriber = "";
            for line in report.lines().filter(|line| line.contains("  ")) {
                if let Some(id) = line.split_whitespace().next().filter(|_| !line.starts_with(' '))
                {
                    subscriber = id;
                }
                let (before, value) = line.rsplit_once("  ").expect("columns stand apart");
                let what = before.trim_end().rsplit("  ").next().expect("a column").trim();
                let value = value.trim().replace(['$', ',', '.', '-'], "");
                if let Ok(value) = value.parse::<u64>() {
                    *sums.entry(format!("{subscriber} {what}")).or_default() += value;
                }
            }
        }
        sums
    }

    /// How many messages queues hold, handed out or not, and the highest number that each has given to one.
    #[cfg(feature = "rabbitmq")]
    fn standing_of_rabbitmq(server: &RabbitServer) -> String {
        const SCRIPT: &str = "
            Ask = fun(Q, Query) ->
                {ok, {{Index, _}, Answer}, _} = ra:local_query(amqqueue:get_pid(Q), Query),
                {Index, Answer}
            end,
            All = [Ask(Q, fun rabbit_fifo:query_messages_total/1) || Q <- rabbit_amqqueue:list()],
            {Numbers, Counts} = lists:unzip(All),
            io_lib:format(\"~b ~b ~b\", [lists:sum(Counts), length(All), erlang:phash2(Numbers)]).";
        let answer = server.ctl(&["eval", SCRIPT]);
        let answer = answer.trim().trim_matches('"');
        assert!(!answer.starts_with("0 0 "), "there are queues");
        answer.to_owned()
    }

    fn come_to_the_totals_of_one_process(bus: &Bus, standing: impl Fn() -> String) {
        // They share the work of shipping; what adds up over all orders, as the stock does, is done in one of them.
        let workers = [
            "shop::orders::*,shop::payments::*,shop::stock::*,shop::shipping::*",
            "shop::users::*,shop::shipping::*",
        ]
        .map(|subscribers| worker(bus, subscribers));
        let publisher = on(bus, "none").output().expect("it runs");
        assert!(stdout(&publisher).contains("6,919 orders published"), "{publisher:?}");
        wait_until_all_is_handled(standing);
        let reports = workers.map(|mut worker| {
            drop(worker.stdin.take());
            worker.wait_with_output().expect("it ends")
        });
        let [one, other] = &reports;
        let together = added_up(&[stdout(one), stdout(other)]);
        let alone = shop().output().expect("it runs");
        assert_eq!(together, added_up(&[stdout(&alone)]));

        let letters = |report| added_up(&[stdout(report)])["shop::shipping::schedule letters"];
        assert!(letters(one) > 0 && letters(other) > 0, "both did a part of the work");
    }

    #[cfg(feature = "redis")]
    #[test]
    #[ignore = "needs redis-server; tests/run installs it"]
    fn a_publisher_and_two_workers_on_redis_come_to_the_totals_of_one_process() {
        let server = RedisServer::start();
        let bus = Bus { backend: "redis-streams", url: server.url() };
        come_to_the_totals_of_one_process(&bus, || standing_of_redis(&server));
    }

    #[cfg(feature = "rabbitmq")]
    #[test]
    #[ignore = "needs rabbitmq-server; tests/run installs it"]
    fn a_publisher_and_two_workers_on_rabbitmq_come_to_the_totals_of_one_process() {
        let server = RabbitServer::start();
        let bus = Bus { backend: "rabbitmq", url: server.url() };
        come_to_the_totals_of_one_process(&bus, || standing_of_rabbitmq(&server));
    }
}
