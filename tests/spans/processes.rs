//! Traces of OpenTelemetry across processes, on a real broker: the program `traced` publishes and works.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

/// A span that a process has exported.
#[derive(Debug)]
struct Exported {
    name: String,
    trace: String,
    span: String,
    parent: String,
    links: String,
    kind: String,
}

/// A bus that nothing else uses.
pub(crate) struct Bus {
    pub(crate) backend: &'static str,
    pub(crate) url: String,
    pub(crate) has_delays: bool,
}

/// A process of the program, which ends with this value.
struct Traced {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Traced {
    fn start(role: &str, bus: &Bus, continue_traces: bool) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_traced"));
        command
            .arg(role)
            .env("EVENT_BACKEND", bus.backend)
            .env("EVENT_URL", &bus.url)
            .env("EVENT_SERVICE", role)
            .env("EVENT_CONTINUE_TRACES", continue_traces.to_string())
            .env("EVENT_SUBSCRIBERS", if role == "work" { "*" } else { "none" })
            .env("DELAY_MS", if bus.has_delays { "300" } else { "0" })
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("Cargo has built the program");
        let output = child.stdout.take().expect("its output is a pipe");
        Self { child, lines: BufReader::new(output).lines() }
    }

    fn line(&mut self) -> Option<String> {
        self.lines.next().map(|line| line.expect("a program prints text"))
    }

    /// The spans of a process that has ended well.
    fn exported(mut self) -> Vec<Exported> {
        let mut spans = Vec::new();
        while let Some(line) = self.line() {
            let mut fields = line.split('|').map(str::to_owned);
            let mut field = || fields.next().unwrap_or_default();
            spans.push(Exported {
                name: field(),
                trace: field(),
                span: field(),
                parent: field(),
                links: field(),
                kind: field(),
            });
        }
        assert!(self.child.wait().is_ok_and(|status| status.success()));
        spans
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An event is published in one process with a delay, fails in another and is tried again there, and its subscriber
/// publishes the next event of the chain.
pub(crate) fn a_trace_crosses_processes(bus: &Bus) {
    for continue_traces in [false, true] {
        let mut worker = Traced::start("work", bus, continue_traces);
        assert_eq!(worker.line().as_deref(), Some("ready"));
        let published = Traced::start("publish", bus, continue_traces).exported();
        let worked = worker.exported();
        let named = |spans: &'_ [Exported], name: &str| -> Vec<usize> {
            (0..spans.len()).filter(|at| spans[*at].name == name).collect()
        };

        let request = &published[named(&published, "request")[0]];
        let publish = &published[named(&published, "publish traced.order_placed")[0]];
        assert_eq!((&publish.trace, &publish.parent), (&request.trace, &request.span));
        assert_eq!(publish.kind, "Producer");

        let attempts = named(&worked, "process traced.order_placed");
        assert_eq!(attempts.len(), 2, "{worked:?}");
        let next = &worked[named(&worked, "publish traced.mail_sent")[0]];
        let last = &worked[named(&worked, "process traced.mail_sent")[0]];
        for (handled, publisher) in
            attempts.iter().map(|at| (&worked[*at], publish)).chain([(last, next)])
        {
            assert_eq!(handled.kind, "Consumer");
            if continue_traces {
                assert_eq!((&handled.trace, &handled.parent), (&request.trace, &publisher.span));
            } else {
                assert_ne!(handled.trace, publisher.trace);
                assert_eq!(handled.links, publisher.span, "{worked:?}");
            }
        }
        assert_eq!(next.parent, worked[attempts[1]].span, "{worked:?}");
    }
}
