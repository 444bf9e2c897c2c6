//! A `redis-server` of the test's own.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::process::{Process, free_port, wait_until};

/// How often another port is tried when somebody else was faster.
const ATTEMPTS: u32 = 5;

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct RedisOptions {
    append_only: bool,
    password: Option<String>,
    arguments: Vec<String>,
}

impl RedisOptions {
    /// Everything it answered for is on disk before it answers: an append-only file, `fsync` always.
    #[must_use]
    pub(crate) fn durable(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// Clients have to give this password.
    #[must_use]
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Further arguments of the command line, as in `["--maxmemory", "10mb"]`.
    #[must_use]
    pub(crate) fn arguments<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments.into_iter().map(str::to_owned));
        self
    }
}

/// A running `redis-server` that listens on 127.0.0.1 and on a Unix socket. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct RedisServer {
    process: Process,
    port: u16,
    options: RedisOptions,
    folder: TempDir,
}

impl RedisServer {
    /// Starts one that keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::start_with(RedisOptions::default())
    }

    /// Starts one. It answers when this returns.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed or does not start.
    pub(crate) fn start_with(options: RedisOptions) -> Self {
        let mut folder = tempfile::tempdir().expect("a temporary folder can be made");
        for _ in 0..ATTEMPTS {
            let port = free_port().expect("there are free ports");
            let process = spawn(port, &options, &folder);
            let mut server = Self { process, port, options: options.clone(), folder };
            if server.comes_up() {
                return server;
            }
            folder = server.folder;
        }
        panic!("redis-server did not start");
    }

    /// Its URL, with the password.
    pub(crate) fn url(&self) -> String {
        self.url_by(self.address())
    }

    /// Its URL by another address, as that of a proxy in front of it.
    pub(crate) fn url_by(&self, address: SocketAddr) -> String {
        match &self.options.password {
            Some(password) => format!("redis://:{password}@{address}/0"),
            None => format!("redis://{address}/0"),
        }
    }

    /// Its URL by its Unix socket.
    pub(crate) fn unix_url(&self) -> String {
        let password = self.options.password.as_ref().map(|it| format!("?pass={it}"));
        format!("redis+unix://{}{}", self.socket().display(), password.unwrap_or_default())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Ends it at once, as `SIGKILL` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Shuts it down in order.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it after [`kill`](Self::kill) or [`stop`](Self::stop): on the same port, with the data that it kept.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "it is running");
        self.process = spawn(self.port, &self.options, &self.folder);
        assert!(self.comes_up(), "redis-server did not start again: {}", self.log());
    }

    /// Has it stop to answer, with all connections open (`SIGSTOP`).
    pub(crate) fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Has it go on after [`pause`](Self::pause).
    pub(crate) fn resume(&self) {
        self.process.signal("CONT");
        wait_until("redis-server answers", || self.answers());
    }

    /// The start of the answer to a command of plain words, as in `GET a`, as the protocol (RESP) writes it.
    pub(crate) fn ask(&self, command: &str) -> io::Result<String> {
        let words: Vec<_> = command.split(' ').map(str::as_bytes).collect();
        self.command(&words)
    }

    /// The start of the answer to a command, on a connection of its own.
    pub(crate) fn command(&self, words: &[&[u8]]) -> io::Result<String> {
        const LIMIT: Duration = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&self.address(), LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        if let Some(password) = &self.options.password {
            send(&mut stream, &[b"AUTH", password.as_bytes()])?;
        }
        send(&mut stream, words)
    }

    fn answers(&self) -> bool {
        self.ask("PING").is_ok_and(|answer| answer.starts_with("+PONG"))
    }

    /// Waits until it answers, or has ended.
    fn comes_up(&mut self) -> bool {
        wait_until("redis-server answers", || self.answers() || self.process.ended().is_some());
        self.process.ended().is_none()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Sends a command (RESP: an array of bulk strings) and reads the start of the answer.
fn send(stream: &mut TcpStream, words: &[&[u8]]) -> io::Result<String> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend_from_slice(b"\r\n");
    }
    stream.write_all(&command)?;
    let mut answer = [0; 4096];
    let count = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

fn spawn(port: u16, options: &RedisOptions, folder: &TempDir) -> Process {
    let log = File::create(folder.path().join("log")).expect("a log can be written");
    let mut command = Command::new("redis-server");
    command
        .current_dir(folder.path())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--unixsocket", "redis.sock", "--save", "", "--appendfsync", "always"])
        .args(["--appendonly", if options.append_only { "yes" } else { "no" }])
        .args(&options.arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null());
    if let Some(password) = &options.password {
        command.args(["--requirepass", password]);
    }
    Process::spawn(&mut command)
}
