//! A server's process.

use std::{
    io::{self, ErrorKind},
    net::TcpListener,
    process::{Child, Command, ExitStatus},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a server may take to start or to shut down.
const LIMIT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(2);

/// A child process that ends with this value, also when its test panics.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    program: String,
}

impl Process {
    /// # Panics
    ///
    /// When the program is not installed.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        match command.spawn() {
            Ok(child) => Self { child, program },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("{program} is not installed; `tests/run` installs it")
            }
            Err(error) => panic!("could not start {program}: {error}"),
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// Sends a signal, as in `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} gets {signal}", self.program);
    }

    /// Ends it at once (`SIGKILL`), and waits until it has ended.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Asks it to end (`SIGTERM`), and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        wait_until(&format!("{} shuts down", self.program), || self.ended().is_some());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a condition holds.
///
/// # Panics
///
/// When it does not for long.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {LIMIT:?} in vain: {what}");
        sleep(INTERVAL);
    }
}

/// A port that nobody listens to now. Somebody else may take it before the caller does, who has to try again then.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
