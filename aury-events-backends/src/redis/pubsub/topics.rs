//! What the subscribers of this process listen to, and what of it the server has confirmed.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::watch;

use super::{glob::glob, queue::Queue};
use crate::envelope::{EventName, Topic};

/// The subscriptions at the server, each shared by all queues that need it.
#[derive(Default)]
pub(super) struct Topics {
    /// By channel.
    channels: HashMap<Box<[u8]>, Shared>,
    /// By glob.
    globs: HashMap<Box<[u8]>, Shared>,
    /// By the channel by which a subscriber's dead letters come back.
    replays: HashMap<Box<[u8]>, Shared>,
    is_closed: bool,
}

/// A subscription at the server.
struct Shared {
    targets: Targets,
    status: watch::Sender<Status>,
}

/// The queues that messages of one subscription may go to.
pub(super) type Targets = Arc<[(Topic, Arc<Queue>)]>;

/// How far a subscription at the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    Unconfirmed,
    Live,
    /// The server does not allow it, for this reason.
    Refused(Arc<str>),
}

/// Which kind of subscription at the server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To the channel of an event.
    Channel,
    /// To the channels of many events.
    Glob,
    /// To the channel of one subscriber.
    Replay,
}

/// Subscriptions to be made or given up.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) channels: Vec<Box<[u8]>>,
    pub(super) globs: Vec<Box<[u8]>>,
    pub(super) replays: Vec<Box<[u8]>>,
}

impl Topics {
    /// Adds a queue, unless all is closed; gives the status of the two subscriptions that it needs: to its topic, and
    /// to the channel of its replays.
    pub(super) fn add(
        &mut self,
        prefix: &str,
        topic: Topic,
        replays: String,
        queue: Arc<Queue>,
    ) -> Option<[watch::Receiver<Status>; 2]> {
        if self.is_closed {
            return None;
        }
        let (kind, key) = match &topic {
            Topic::Event(name) => (Kind::Channel, channel(prefix, name)),
            Topic::Pattern(pattern) => (Kind::Glob, glob(prefix, pattern)),
        };
        Some([(kind, key), (Kind::Replay, replays)].map(|(kind, key)| {
            let map = self.of_kind_mut(kind);
            let shared = map.entry(key.into_bytes().into()).or_insert_with(|| Shared {
                targets: Arc::default(),
                status: watch::Sender::new(Status::Unconfirmed),
            });
            let target = (topic.clone(), Arc::clone(&queue));
            shared.targets = shared.targets.iter().cloned().chain([target]).collect();
            shared.status.subscribe()
        }))
    }

    fn of_kind(&self, kind: Kind) -> &HashMap<Box<[u8]>, Shared> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Glob => &self.globs,
            Kind::Replay => &self.replays,
        }
    }

    fn of_kind_mut(&mut self, kind: Kind) -> &mut HashMap<Box<[u8]>, Shared> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Glob => &mut self.globs,
            Kind::Replay => &mut self.replays,
        }
    }

    /// Whom a message concerns that came by the subscription of that key.
    pub(super) fn targets(&self, kind: Kind, key: &[u8]) -> Option<Targets> {
        self.of_kind(kind).get(key).map(|shared| Arc::clone(&shared.targets))
    }

    pub(super) fn has_globs(&self) -> bool {
        !self.globs.is_empty()
    }

    /// Lets go of queues that are closed, and gives the subscriptions that nobody needs any more.
    pub(super) fn give_up_unneeded(&mut self) -> Plan {
        let mut surplus = Plan::default();
        for (map, surplus) in [
            (&mut self.channels, &mut surplus.channels),
            (&mut self.globs, &mut surplus.globs),
            (&mut self.replays, &mut surplus.replays),
        ] {
            map.retain(|key, shared| {
                if shared.targets.iter().any(|(_, queue)| queue.is_closed()) {
                    let open = shared.targets.iter().filter(|(_, queue)| !queue.is_closed());
                    shared.targets = open.cloned().collect();
                }
                let is_needed = !shared.targets.is_empty();
                if !is_needed && *shared.status.borrow() == Status::Live {
                    surplus.push(key.clone());
                }
                is_needed
            });
        }
        surplus
    }

    /// The subscriptions that the server has to be asked for.
    pub(super) fn unconfirmed(&self) -> Plan {
        let keys = |map: &HashMap<Box<[u8]>, Shared>| {
            let unconfirmed =
                map.iter().filter(|(_, shared)| *shared.status.borrow() == Status::Unconfirmed);
            unconfirmed.map(|(key, _)| key.clone()).collect()
        };
        Plan {
            channels: keys(&self.channels),
            globs: keys(&self.globs),
            replays: keys(&self.replays),
        }
    }

    /// Takes note of what the server said.
    pub(super) fn set_status(&self, kind: Kind, keys: &[Box<[u8]>], status: &Status) {
        let map = self.of_kind(kind);
        for shared in keys.iter().filter_map(|key| map.get(key)) {
            shared.status.send_replace(status.clone());
        }
    }

    /// Takes note that the server knows nothing of us any more.
    pub(super) fn forget_confirmations(&self) {
        let all = self.channels.values().chain(self.globs.values()).chain(self.replays.values());
        for shared in all {
            shared.status.send_replace(Status::Unconfirmed);
        }
    }

    /// Takes no queue any more, and gives those that there are. Whoever waits for a subscription waits in vain.
    pub(super) fn close(&mut self) -> Vec<Arc<Queue>> {
        self.is_closed = true;
        self.replays.clear();
        let all = self.channels.drain().chain(self.globs.drain());
        all.flat_map(|(_, shared)| {
            shared.targets.iter().map(|(_, queue)| Arc::clone(queue)).collect::<Vec<_>>()
        })
        .collect()
    }

    /// All queues that are not closed, and whether events reach them.
    pub(super) fn queues(&self) -> impl Iterator<Item = (&Arc<Queue>, bool)> {
        self.channels.values().chain(self.globs.values()).flat_map(|shared| {
            let is_live = *shared.status.borrow() == Status::Live;
            let open = shared.targets.iter().filter(|(_, queue)| !queue.is_closed());
            open.map(move |(_, queue)| (queue, is_live))
        })
    }
}

/// The channel of an event.
pub(super) fn channel(prefix: &str, name: &EventName) -> String {
    format!("{prefix}{name}")
}
