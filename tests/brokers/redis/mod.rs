//! A `redis-server` of the test's own; what follows it, what watches it, and many of them together.

mod cluster;
mod release;
mod resp;
mod sentinels;

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

pub(crate) use self::{cluster::RedisCluster, release::RedisRelease, sentinels::RedisSentinels};
use super::process::{Process, free_port, wait_until};

/// How often another port is tried when somebody else was faster.
const ATTEMPTS: u32 = 20;

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct RedisOptions {
    release: RedisRelease,
    append_only: bool,
    is_clustered: bool,
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

    /// Another server than that of the system.
    #[must_use]
    pub(crate) fn release(mut self, release: RedisRelease) -> Self {
        self.release = release;
        self
    }

    /// A node of a cluster, which is none yet.
    #[must_use]
    fn clustered(mut self) -> Self {
        self.is_clustered = true;
        self.arguments(["--cluster-enabled", "yes", "--cluster-node-timeout", "1500"])
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
            // The nodes of a cluster talk on another port, so much higher.
            if options.is_clustered && port > u16::MAX - 10_000 {
                continue;
            }
            let process = spawn(port, &options, &folder);
            let mut server = Self { process, port, options: options.clone(), folder };
            if server.comes_up() {
                return server;
            }
            folder = server.folder;
        }
        panic!("redis-server did not start");
    }

    /// Starts one that copies another. It has all of it when this returns.
    pub(crate) fn replica_of(primary: &Self) -> Self {
        let replica = Self::start_with(primary.options.clone());
        replica.follow(primary);
        replica
    }

    /// Makes it a replica. Its clients stay connected.
    pub(crate) fn follow(&self, primary: &Self) {
        if let Some(password) = &self.options.password {
            self.does(&format!("CONFIG SET masterauth {password}"));
        }
        let (host, port) = (primary.address().ip(), primary.address().port());
        self.does(&format!("REPLICAOF {host} {port}"));
        wait_until("the replica has all", || self.follows());
    }

    /// Waits until it has all that its primary has taken by now: a primary confirms before its replicas have it.
    pub(crate) fn catches_up_with(&self, primary: &Self) {
        let offset = |server: &Self, of: &str| -> u64 {
            let replication = server.replication();
            let number = replication.lines().find_map(|line| line.strip_prefix(of));
            number.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        let all = offset(primary, "master_repl_offset:");
        wait_until("the replica has all", || offset(self, "slave_repl_offset:") >= all);
    }

    /// Makes it a primary.
    pub(crate) fn lead(&self) {
        self.does("REPLICAOF NO ONE");
    }

    fn follows(&self) -> bool {
        self.replication().contains("master_link_status:up")
    }

    fn leads(&self) -> bool {
        self.replication().contains("role:master")
    }

    fn replication(&self) -> String {
        self.ask("INFO replication").unwrap_or_default()
    }

    /// Has it carry out a command that answers `OK`.
    pub(crate) fn does(&self, command: &str) {
        let answer = self.ask(command).expect("it answers");
        assert!(answer.starts_with("+OK"), "{command}: {answer}");
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

    /// Whether it was ended.
    fn has_ended(&mut self) -> bool {
        self.process.ended().is_some()
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
        self.start_again_without_waiting();
        assert!(self.comes_up(), "redis-server did not start again: {}", self.log());
    }

    /// Starts it likewise; it may be loading its data when this returns.
    pub(crate) fn start_again_without_waiting(&mut self) {
        assert!(self.process.ended().is_some(), "it is running");
        self.process = spawn(self.port, &self.options, &self.folder);
    }

    /// Where it keeps its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
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
        resp::ask(self.address(), self.options.password.as_deref(), words)
    }

    fn answers(&self) -> bool {
        self.ask("PING").is_ok_and(|answer| answer.starts_with("+PONG"))
    }

    /// Waits until it answers, or has ended.
    fn comes_up(&mut self) -> bool {
        wait_until("redis-server answers", || self.answers() || self.process.ended().is_some());
        self.process.ended().is_none()
    }

    /// What it has logged since it was started last.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

fn spawn(port: u16, options: &RedisOptions, folder: &TempDir) -> Process {
    let log = File::create(folder.path().join("log")).expect("a log can be written");
    let mut command = Command::new(options.release.program());
    command
        .current_dir(folder.path())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--unixsocket", "redis.sock", "--save", "", "--appendfsync", "always"])
        .args(["--appendonly", if options.append_only { "yes" } else { "no" }])
        .args(["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"])
        .args(&options.arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null());
    if let Some(password) = &options.password {
        command.args(["--requirepass", password]);
    }
    Process::spawn(&mut command)
}
