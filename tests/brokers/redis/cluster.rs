//! A cluster: three primaries that share the slots, and a replica of each.

use std::{
    iter::once,
    time::{Duration, Instant},
};

use super::{RedisOptions, RedisServer};
use crate::brokers::process::wait_until;

/// All slots that a cluster has.
const SLOTS: usize = 16_384;
const PRIMARIES: usize = 3;

/// When a failover that has not happened is asked for once more.
const AGAIN: Duration = Duration::from_secs(2);

/// The first slot of a primary.
fn first_slot(number: usize) -> usize {
    SLOTS * number / PRIMARIES
}

/// Dropping it kills all of its nodes.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    primaries: Vec<RedisServer>,
    replicas: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one. Each node serves when this returns.
    pub(crate) fn start() -> Self {
        Self::start_with(RedisOptions::default())
    }

    /// Starts one of nodes with these options.
    pub(crate) fn start_with(options: RedisOptions) -> Self {
        let options = options.clustered();
        let start = |_| RedisServer::start_with(options.clone());
        let cluster = Self {
            primaries: (0..PRIMARIES).map(start).collect(),
            replicas: (0..PRIMARIES).map(start).collect(),
        };
        for (number, node) in cluster.nodes().enumerate() {
            node.does(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
        }
        for (number, node) in cluster.primaries.iter().enumerate() {
            let (first, last) = (first_slot(number), first_slot(number + 1) - 1);
            node.does(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
        }
        for node in cluster.nodes().skip(1) {
            let first = cluster.primaries[0].address();
            node.does(&format!("CLUSTER MEET {} {}", first.ip(), first.port()));
        }
        let nodes = format!("cluster_known_nodes:{}", 2 * PRIMARIES);
        let knows = |node: &RedisServer, what: &str| {
            node.ask("CLUSTER INFO").is_ok_and(|answer| answer.contains(what))
        };
        wait_until("the nodes know each other", || {
            cluster.nodes().all(|node| knows(node, &nodes) && knows(node, "cluster_state:ok"))
        });
        for (primary, replica) in cluster.primaries.iter().zip(&cluster.replicas) {
            let id = primary.ask("CLUSTER MYID").expect("it answers");
            let id = id.lines().nth(1).expect("an id").to_owned();
            let follow = format!("CLUSTER REPLICATE {id}");
            wait_until("a node becomes a replica", || {
                replica.ask(&follow).is_ok_and(|answer| answer.starts_with("+OK"))
            });
        }
        let replicas = |node: &RedisServer| {
            let nodes = node.ask("CLUSTER NODES").unwrap_or_default();
            nodes.matches("slave").count()
        };
        wait_until("all know that the replicas follow", || {
            cluster.replicas.iter().all(RedisServer::follows)
                && cluster.nodes().all(|node| replicas(node) == PRIMARIES)
        });
        cluster
    }

    fn nodes(&self) -> impl Iterator<Item = &RedisServer> {
        self.primaries.iter().chain(&self.replicas)
    }

    /// The URL of one of its nodes.
    pub(crate) fn url_of(&self, number: usize) -> String {
        self.primaries[number].url()
    }

    /// The URL of all of its primaries.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.primaries.iter().map(|it| it.address().to_string()).collect();
        format!("redis://{}/0", hosts.join(","))
    }

    /// The number of the primary, at the start, of a key.
    pub(crate) fn owner_of(&self, key: &str) -> usize {
        let asked = self.primaries[0].ask(&format!("CLUSTER KEYSLOT {key}"));
        let slot = asked.expect("it answers");
        let slot: usize = slot.trim_start_matches(':').trim().parse().expect("a slot");
        (0..PRIMARIES).rfind(|&number| first_slot(number) <= slot).expect("the first has 0")
    }

    /// Ends the node at once that has the slots of a primary of the start. Its replica takes its place some seconds later.
    pub(crate) fn kill(&mut self, number: usize) {
        self.leader_of(number).kill();
    }

    /// Starts the node again that was killed.
    pub(crate) fn start_again(&mut self, number: usize) {
        let dead = [&mut self.primaries[number], &mut self.replicas[number]];
        let dead = dead.into_iter().find_map(|it| it.has_ended().then_some(it));
        dead.expect("one was killed").start_again();
    }

    /// The node that has the slots of a primary of the start.
    pub(crate) fn leader_of(&mut self, number: usize) -> &mut RedisServer {
        let (primary, replica) = (&mut self.primaries[number], &mut self.replicas[number]);
        wait_until("one of the two leads", || primary.leads() || replica.leads());
        if primary.leads() { primary } else { replica }
    }

    /// Has a primary and its replica change places.
    pub(crate) fn fail_over(&self, number: usize) {
        let (primary, replica) = (&self.primaries[number], &self.replicas[number]);
        let (primary, replica) =
            if replica.leads() { (replica, primary) } else { (primary, replica) };
        let mut asked = Instant::now() - AGAIN;
        wait_until("the replica leads", || {
            if asked.elapsed() >= AGAIN && !replica.leads() {
                // It is refused while another one goes on, and others may not have agreed in time to the last one.
                let _ = replica.ask("CLUSTER FAILOVER");
                asked = Instant::now();
            }
            replica.leads()
        });
        wait_until("the primary follows", || primary.follows());
    }

    /// The servers that have, or had, the slots of a primary.
    pub(crate) fn servers_of(&self, number: usize) -> impl Iterator<Item = &RedisServer> {
        once(&self.primaries[number]).chain(once(&self.replicas[number]))
    }
}
