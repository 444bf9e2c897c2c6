//! A `rabbitmq-server` of the test's own, or one that tests share.

use std::{
    env, fs,
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Condvar, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tempfile::TempDir;

use super::process::{Process, free_port, wait_until};

/// How often other ports are tried when somebody else was faster.
const ATTEMPTS: u32 = 5;

/// How many servers that tests may break run at a time: each takes a core for seconds, and 150 MB.
const SERVERS: usize = 2;

/// Where RabbitMQ's own scripts are. A `rabbitmq-server` of a Linux package that is on the path is a wrapper, which
/// insists on a user and on folders of its own.
const FOLDERS: [&str; 5] = [
    "/usr/lib/rabbitmq/bin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin",
    "/usr/local/lib/rabbitmq/bin",
];

/// What Erlang is told: to listen to this machine alone, and to leave no process behind.
const ERLANG: &str = "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}";

/// Ends what a test program left behind, when it ends however it does: its standard input is closed then.
const WATCH: &str =
    r#"trap '' HUP INT TERM; cat >/dev/null; kill -s KILL $(cat "$1/pids"); rm -rf "$1""#;

/// A running `rabbitmq-server` that listens on 127.0.0.1. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct RabbitServer {
    /// Ends first, since what it watches ends by itself.
    watch: Process,
    process: Process,
    /// `None` of a node that joined another one, whose it uses.
    epmd: Option<Process>,
    ports: Ports,
    folder: TempDir,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    /// Where the nodes of a cluster, and `rabbitmqctl`, talk to it.
    distribution: u16,
    /// Where they find out about that port.
    epmd: u16,
}

impl Ports {
    fn free() -> io::Result<Self> {
        Ok(Self { amqp: free_port()?, distribution: free_port()?, epmd: free_port()? })
    }

    /// What the node is called.
    fn node(self) -> String {
        format!("tests-{}@localhost", self.amqp)
    }
}

impl RabbitServer {
    /// Starts one, which takes some seconds: better [`shared`](Self::shared) or [`lease`](Self::lease) one.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with further lines of `rabbitmq.conf`. It answers when this returns.
    ///
    /// # Panics
    ///
    /// When RabbitMQ is not installed or does not start.
    pub(crate) fn start_with(settings: &str) -> Self {
        Self::start_beside(None, settings)
    }

    /// Starts one that could join another one, which finds its nodes by the same `epmd` and shares its secret.
    pub(super) fn start_beside(first: Option<&Self>, settings: &str) -> Self {
        for _ in 0..ATTEMPTS {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let mut ports = Ports::free().expect("there are free ports");
            if let Some(first) = first {
                ports.epmd = first.ports.epmd;
                let cookie = |folder: &TempDir| folder.path().join(".erlang.cookie");
                fs::copy(cookie(&first.folder), cookie(&folder)).expect("a running node has one");
            }
            let settings = format!(
                "listeners.tcp.default = 127.0.0.1:{}\n\
                 loopback_users = none\n\
                 disk_free_limit.absolute = 10MB\n\
                 log.file = false\n\
                 log.console = true\n\
                 {settings}\n",
                ports.amqp,
            );
            write(&folder, "rabbitmq.conf", &settings);
            write(&folder, "enabled_plugins", "[].");
            let mut epmd = first.is_none().then(|| spawn_epmd(ports));
            let process = spawn(&folder, ports);
            remember(&folder, epmd.iter().chain([&process]));
            let watch = Process::spawn(
                Command::new("sh")
                    .args(["-c", WATCH, "sh"])
                    .arg(folder.path())
                    .stdin(Stdio::piped())
                    .stderr(Stdio::null()),
            );
            if epmd.as_mut().is_some_and(|epmd| epmd.ended().is_some()) {
                continue;
            }
            let mut server = Self { watch, process, epmd, ports, folder };
            if server.comes_up() {
                return server;
            }
            eprintln!("rabbitmq-server did not start:\n{}", server.log());
        }
        panic!("rabbitmq-server did not start");
    }

    /// The one that all tests of the program share which do it no harm. It ends with the program.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<RabbitServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One that a test has to itself and may break. The next test gets it, if it answers then.
    pub(crate) fn lease() -> Leased {
        Leased::new()
    }

    /// Its URL, with the user `guest`, who may do anything, and the virtual host `/`.
    pub(crate) fn url(&self) -> String {
        self.url_by(self.address())
    }

    /// Its URL by another address, as that of a proxy in front of it.
    pub(crate) fn url_by(&self, address: SocketAddr) -> String {
        format!("amqp://guest:guest@{address}/%2f")
    }

    /// Its URL for another user and virtual host, all of them as they stand in a URL.
    pub(crate) fn url_with(&self, user: &str, password: &str, virtual_host: &str) -> String {
        format!("amqp://{user}:{password}@{}/{virtual_host}", self.address())
    }

    /// What it is called among the nodes of a cluster.
    pub(super) fn node(&self) -> String {
        self.ports.node()
    }

    /// Ends it at once, with what it has not written down yet.
    pub(super) fn kill_at_once(&mut self) {
        self.process.kill();
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.amqp).into()
    }

    /// Ends it at once, as `SIGKILL` does.
    pub(crate) fn kill(&mut self) {
        // RabbitMQ (seen on 3.10.8) writes down which queues it has every few seconds alone: one that was declared just
        // before is never served again after this, by nobody's fault but the broker's.
        self.ctl(&["eval", "mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()]."]);
        self.process.kill();
    }

    /// Shuts it down in order.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it after [`kill`](Self::kill) or [`stop`](Self::stop): on the same port, with its data.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "it is running");
        self.process = spawn(&self.folder, self.ports);
        remember(&self.folder, self.epmd.iter().chain([&self.process]));
        assert!(self.comes_up(), "rabbitmq-server did not start again: {}", self.log());
    }

    /// Has it stop to answer, with all connections open (`SIGSTOP`).
    pub(crate) fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Has it go on after [`pause`](Self::pause).
    pub(crate) fn resume(&self) {
        self.process.signal("CONT");
        wait_until("rabbitmq-server answers", || self.answers());
    }

    /// What `rabbitmqctl` prints when it is called with these arguments, without its headings.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        let output = command("rabbitmqctl", &self.folder, self.ports)
            .arg("--silent")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("rabbitmqctl is installed with rabbitmq-server");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {printed}{complaint}");
        printed
    }

    /// Adds a virtual host, in which the user `guest` may do anything.
    pub(crate) fn add_virtual_host(&self, name: &str) {
        self.ctl(&["add_vhost", name]);
        self.ctl(&["set_permissions", "--vhost", name, "guest", ".*", ".*", ".*"]);
    }

    /// Whether it answers the header of the protocol as AMQP 0-9-1 §4.2.2 says: with a method, on channel 0.
    fn answers(&self) -> bool {
        const LIMIT: Duration = Duration::from_secs(1);
        let greet = || {
            let mut stream = TcpStream::connect_timeout(&self.address(), LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(b"AMQP\x00\x00\x09\x01")?;
            let mut frame = [0; 3];
            stream.read_exact(&mut frame)?;
            io::Result::Ok(frame == [1, 0, 0])
        };
        greet().unwrap_or(false)
    }

    /// Waits until it answers, or has ended.
    fn comes_up(&mut self) -> bool {
        wait_until("rabbitmq-server answers", || self.answers() || self.process.ended().is_some());
        self.process.ended().is_none()
    }

    /// What it has said since it was started.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

/// A [server](RabbitServer::lease) of the test's own for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Leased(Option<RabbitServer>);

/// The servers that nobody has leased, and how many more may be started.
#[derive(Debug)]
struct Pool {
    idle: Vec<RabbitServer>,
    places: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { idle: Vec::new(), places: SERVERS });
static RETURNED: Condvar = Condvar::new();

impl Leased {
    fn new() -> Self {
        let pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let is_empty = |pool: &mut Pool| pool.idle.is_empty() && pool.places == 0;
        let waited = RETURNED.wait_while(pool, is_empty);
        let mut pool = waited.unwrap_or_else(PoisonError::into_inner);
        let mut leased = Self(pool.idle.pop());
        if leased.0.is_none() {
            pool.places -= 1;
            drop(pool);
            leased.0 = Some(RabbitServer::start());
        }
        leased
    }
}

impl Deref for Leased {
    type Target = RabbitServer;

    fn deref(&self) -> &RabbitServer {
        self.0.as_ref().expect("it is taken when it is dropped alone")
    }
}

impl DerefMut for Leased {
    fn deref_mut(&mut self) -> &mut RabbitServer {
        self.0.as_mut().expect("it is taken when it is dropped alone")
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        // What a test broke and did not repair is not handed on.
        let sound = self.0.take().filter(RabbitServer::answers);
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        match sound {
            Some(server) => pool.idle.push(server),
            None => pool.places += 1,
        }
        RETURNED.notify_one();
    }
}

fn write(folder: &TempDir, file: &str, text: &str) {
    fs::write(folder.path().join(file), text).expect("a file can be written");
}

/// Writes down what is to end with the program.
fn remember<'a>(folder: &TempDir, processes: impl Iterator<Item = &'a Process>) {
    let ids: Vec<_> = processes.map(|process| process.id().to_string()).collect();
    write(folder, "pids", &ids.join(" "));
}

fn spawn_epmd(ports: Ports) -> Process {
    Process::spawn(
        Command::new("epmd")
            .args(["-port", &ports.epmd.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
}

fn spawn(folder: &TempDir, ports: Ports) -> Process {
    let log = File::create(folder.path().join("log")).expect("a log can be written");
    let mut server = command("rabbitmq-server", folder, ports);
    server.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
    Process::spawn(&mut server)
}

/// One of RabbitMQ's programs, told about this server.
fn command(program: &str, folder: &TempDir, ports: Ports) -> Command {
    let path = |file: &str| folder.path().join(file);
    let mut command = Command::new(installed(program));
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"RABBITMQ_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("ERL_EPMD_PORT", ports.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODENAME", ports.node())
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .env("RABBITMQ_CONF_ENV_FILE", path("no-environment"))
        .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
        .env("RABBITMQ_MNESIA_BASE", path("data"))
        .env("RABBITMQ_LOG_BASE", path("logs"))
        .env("RABBITMQ_PID_FILE", path("pid"))
        // The process is the server then, and not a shell that waits for it.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        // The epmd is ours, and ends.
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG)
        .env("RABBITMQ_CTL_ERL_ARGS", ERLANG);
    command
}

/// Where a program of RabbitMQ is; its bare name if it is nowhere.
fn installed(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = FOLDERS.iter().map(PathBuf::from).chain(env::split_paths(&path));
    let mut programs = folders.map(|folder| folder.join(program));
    programs.find(|path| path.is_file()).unwrap_or_else(|| Path::new(program).to_owned())
}
