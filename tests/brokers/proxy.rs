//! A TCP proxy that treats its connections badly.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// A proxy on a free port. Dropping it closes the port and every connection.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    rules: watch::Sender<Rules>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// What is done to connections now.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// Where new connections lead to.
    server: SocketAddr,
    /// How often all connections have been cut.
    cuts: u64,
    refuses: bool,
    stalls: bool,
    bytes_per_second: Option<u32>,
}

impl Proxy {
    /// A proxy that passes everything on to `server`.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, on which it runs.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listen = || {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            io::Result::Ok((TcpListener::from_std(listener)?, address))
        };
        let (listener, address) = listen().expect("there are free ports");
        let rules = watch::Sender::new(Rules {
            server,
            cuts: 0,
            refuses: false,
            stalls: false,
            bytes_per_second: None,
        });
        let accepted = Arc::<AtomicUsize>::default();
        let task = tokio::spawn(serve(listener, rules.clone(), Arc::clone(&accepted)));
        Self { address, rules, accepted, task }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    /// Drops all connections. New ones are accepted.
    pub(crate) fn cut(&self) {
        self.rules.send_modify(|rules| rules.cuts += 1);
    }

    /// Whether new connections are closed at once. Those that are open stay so.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.rules.send_modify(|rules| rules.refuses = refuses);
    }

    /// Has new connections lead to another server. Those that are open stay where they are.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        self.rules.send_modify(|rules| rules.server = server);
    }

    /// Passes nothing on any more. Connections stay open, and new ones are accepted.
    pub(crate) fn stall(&self) {
        self.rules.send_modify(|rules| rules.stalls = true);
    }

    /// Goes on after [`stall`](Self::stall), with what was sent meanwhile, and at full speed after [`slow`](Self::slow).
    pub(crate) fn resume(&self) {
        self.rules.send_modify(|rules| (rules.stalls, rules.bytes_per_second) = (false, None));
    }

    /// Passes on no more than so much in each direction of each connection.
    pub(crate) fn slow(&self, bytes_per_second: u32) {
        self.rules.send_modify(|rules| rules.bytes_per_second = Some(bytes_per_second.max(1)));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts connections for ever. They end with this future.
async fn serve(listener: TcpListener, rules: watch::Sender<Rules>, accepted: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { continue };
        if rules.borrow().refuses {
            continue;
        }
        accepted.fetch_add(1, SeqCst);
        let (server, rules) = (rules.borrow().server, rules.subscribe());
        connections.spawn(async move {
            if let Ok(server) = TcpStream::connect(server).await {
                connect(client, server, rules).await;
            }
        });
    }
}

/// Passes on until one side closes or the connection is cut.
async fn connect(client: TcpStream, server: TcpStream, mut rules: watch::Receiver<Rules>) {
    // Delays are the caller's to ask for.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let cuts = rules.borrow().cuts;
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::select! {
        _ = pass_on(from_client, to_server, rules.clone()) => {}
        _ = pass_on(from_server, to_client, rules.clone()) => {}
        _ = rules.wait_for(|rules| rules.cuts != cuts) => {}
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut rules: watch::Receiver<Rules>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // Slow connections are read in small pieces, so that a change of speed is felt soon.
        let speed = rules.borrow().bytes_per_second;
        let piece =
            speed.map_or(buffer.len(), |speed| (speed as usize / 50).clamp(1, buffer.len()));
        let count = from.read(&mut buffer[..piece]).await?;
        if count == 0 {
            return Ok(());
        }
        if let Some(speed) = speed {
            tokio::time::sleep(Duration::from_secs_f64(count as f64 / f64::from(speed))).await;
        }
        if rules.wait_for(|rules| !rules.stalls).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await?;
    }
}
