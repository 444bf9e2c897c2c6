//! Sentinels, which watch a primary and promote one of its replicas when it is gone.

use std::{
    fs,
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{RedisRelease, RedisServer, resp};
use crate::brokers::process::{Process, free_port, wait_until};

/// When a failover that has not happened is asked for once more.
const AGAIN: Duration = Duration::from_secs(10);

/// The name of the primary.
const NAME: &str = "orders";

/// Three of them, of which two have to agree. Dropping them kills them.
#[derive(Debug)]
pub(crate) struct RedisSentinels {
    sentinels: Vec<Sentinel>,
}

#[derive(Debug)]
struct Sentinel {
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl RedisSentinels {
    /// Has three watch a primary that has `replicas`. They know them, and each other, when this returns.
    pub(crate) fn of(primary: &RedisServer, replicas: usize) -> Self {
        let sentinels = (0..3).map(|_| Sentinel::start(primary)).collect();
        let sentinels = Self { sentinels };
        let all_know = || {
            let state = |it: &Sentinel| it.ask("SENTINEL MASTER orders").unwrap_or_default();
            let knows = |state: String| {
                let count = |name| resp::field(&state, name).and_then(|it| it.parse().ok());
                count("num-other-sentinels") == Some(2) && count("num-slaves") == Some(replicas)
            };
            sentinels.sentinels.iter().all(|sentinel| knows(state(sentinel)))
        };
        wait_until("the sentinels know each other", all_know);
        sentinels
    }

    /// The URL by which clients find the primary.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(|it| it.address.to_string()).collect();
        format!("redis+sentinel://{}/{NAME}/0", hosts.join(","))
    }

    /// Where the primary is, as the first one says.
    pub(crate) fn primary(&self) -> Option<u16> {
        let asked = self.sentinels[0].ask("SENTINEL GET-MASTER-ADDR-BY-NAME orders").ok()?;
        resp::field(&asked, "127.0.0.1")?.parse().ok()
    }

    /// Has them promote a replica although the primary is well; it becomes a replica.
    pub(crate) fn fail_over(&self) {
        let before = self.primary();
        let mut asked = Instant::now() - AGAIN;
        wait_until("the sentinels have a new primary", || {
            let is_new = self.primary() != before;
            if !is_new && asked.elapsed() >= AGAIN {
                // It is refused while another one goes on, and given up when no replica answers in time.
                let _ = self.sentinels[0].ask("SENTINEL FAILOVER orders");
                asked = Instant::now();
            }
            is_new
        });
    }

    /// Ends one of them at once.
    pub(crate) fn kill(&mut self, number: usize) {
        self.sentinels[number].process.kill();
    }
}

impl Sentinel {
    fn start(primary: &RedisServer) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = free_port().expect("there are free ports");
        let at = primary.address();
        let configuration = format!(
            "port {port}\nbind 127.0.0.1\n\
             sentinel monitor {NAME} {} {} 2\n\
             sentinel down-after-milliseconds {NAME} 1000\n\
             sentinel failover-timeout {NAME} 4000\n",
            at.ip(),
            at.port()
        );
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, configuration).expect("a configuration can be written");
        let log = File::create(folder.path().join("log")).expect("a log can be written");
        let mut command = Command::new(RedisRelease::Installed.program());
        command.current_dir(folder.path()).arg(file).arg("--sentinel");
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        let process = Process::spawn(&mut command);
        let sentinel =
            Self { process, address: (Ipv4Addr::LOCALHOST, port).into(), _folder: folder };
        wait_until("a sentinel answers", || sentinel.ask("PING").is_ok());
        sentinel
    }

    fn ask(&self, command: &str) -> std::io::Result<String> {
        let words: Vec<_> = command.split(' ').map(str::as_bytes).collect();
        resp::ask(self.address, None, &words)
    }
}
