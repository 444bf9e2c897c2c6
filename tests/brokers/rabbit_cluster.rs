//! Nodes of RabbitMQ that are one broker.

use super::rabbitmq::RabbitServer;

/// A cluster, whose queues have a copy on each node. Dropping it kills all nodes.
#[derive(Debug)]
pub(crate) struct RabbitCluster(Vec<RabbitServer>);

impl RabbitCluster {
    /// Starts one with so many nodes, which takes some seconds for each.
    pub(crate) fn start(nodes: usize) -> Self {
        let mut cluster = vec![RabbitServer::start()];
        while cluster.len() < nodes {
            let node = RabbitServer::start_beside(Some(&cluster[0]), "");
            node.ctl(&["stop_app"]);
            node.ctl(&["join_cluster", &cluster[0].node()]);
            node.ctl(&["start_app"]);
            cluster.push(node);
        }
        Self(cluster)
    }

    /// Its URL, with all hosts in the order of the nodes.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.0.iter().map(|node| node.address().to_string()).collect();
        format!("amqp://guest:guest@{}/%2f", hosts.join(","))
    }

    pub(crate) fn node(&self, index: usize) -> &RabbitServer {
        &self.0[index]
    }

    /// Ends a node at once.
    pub(crate) fn kill(&mut self, index: usize) {
        self.0[index].kill_at_once();
    }

    /// Starts a node after [`kill`](Self::kill).
    pub(crate) fn start_again(&mut self, index: usize) {
        self.0[index].start_again();
    }
}
