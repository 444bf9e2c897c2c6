//! Telling the server what became of deliveries.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::sleep;

use super::{
    super::backoff::Backoff,
    group::Group,
    inbox::Inbox,
    orders::Order,
    server::{Failure, commands},
    shared::Shared,
};
use crate::error::BackendError;

const DELAY: &str = include_str!("scripts/delay.lua");

/// Carries out the orders of one subscriber, until there will be no more.
///
/// While the server takes one batch, the next one gathers: the longer a round trip takes, the more acknowledgements it
/// carries. An order is repeated until it has succeeded. An entry that became a dead letter is acknowledged after the
/// letter is stored, so a crash between the two stores it twice rather than not at all.
#[derive(Debug)]
pub(super) struct Settler {
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Arc<Inbox>,
    /// `None` for a `broadcast` subscriber: nothing is acknowledged.
    pub(super) group: Option<Arc<Group>>,
}

impl Settler {
    pub(super) async fn run(&self) {
        loop {
            let orders = self.inbox.orders.take();
            if !orders.is_empty() {
                self.carry_out(orders).await;
            } else if self.inbox.is_finished() {
                return;
            } else {
                self.inbox.orders.added().await;
            }
        }
    }

    async fn carry_out(&self, orders: Vec<Order>) {
        let mut batch = Batch::default();
        for order in orders {
            match order {
                Order::Ack { tag } => batch.done.push(tag),
                Order::Count { tag, count } => batch.counts.push((tag, count)),
                other => {
                    batch.done.push(self.put_away(other).await);
                }
            }
        }
        let mut trouble = Trouble::new(self);
        while let Err(failure) = self.send(&batch).await {
            trouble.wait_after(&failure).await;
        }
        self.inbox.release(batch.done);
    }

    /// Stores an event elsewhere, until that has succeeded.
    async fn put_away(&self, order: Order) -> u64 {
        let mut trouble = Trouble::new(self);
        loop {
            let (tag, stored) = match &order {
                Order::Ack { tag } | Order::Count { tag, .. } => (*tag, Ok(())),
                Order::Delay { tag, attempt, .. } => (*tag, self.delay(&order, *attempt).await),
                Order::Bury { tag, letter } => (*tag, self.shared.dead_letters.store(letter).await),
                Order::BuryBroken { tag, letter } => {
                    (*tag, self.shared.dead_letters.store_undecodable(letter).await)
                }
            };
            match stored {
                Ok(()) => return tag,
                Err(error) => trouble.wait_after(&error.into()).await,
            }
        }
    }

    async fn delay(&self, order: &Order, attempt: u32) -> Result<(), BackendError> {
        let Order::Delay { tag, envelope, after, .. } = order else { return Ok(()) };
        let Some((group, place)) = self.group.as_ref().zip(self.inbox.place_of(*tag)) else {
            return Ok(());
        };
        let keys = &self.shared.keys;
        let mut delay = redis::cmd("EVAL");
        delay.arg(DELAY).arg(3);
        delay.arg(&*group.key(place.stream)).arg(keys.delayed()).arg(keys.retry(&group.name));
        delay.arg(&group.name).arg(place.id).arg(attempt);
        delay.arg(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        delay.arg(self.shared.codec.encode(envelope)?);
        let asked = self.shared.server.ask(&delay).await;
        asked.map(drop).map_err(|failure| failure.of("put an event aside for a later attempt"))
    }

    async fn send(&self, batch: &Batch) -> Result<(), Failure> {
        let Some(group) = &self.group else { return Ok(()) };
        let mut commands = commands();
        let mut done: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for place in batch.done.iter().filter_map(|tag| self.inbox.place_of(*tag)) {
            done.entry(place.stream).or_default().push(place.id);
        }
        for (stream, ids) in done {
            commands.cmd("XACK").arg(&*group.key(stream)).arg(&group.name).arg(ids);
        }
        for &(tag, count) in &batch.counts {
            let Some(place) = self.inbox.place_of(tag) else { continue };
            commands.cmd("XCLAIM").arg(&*group.key(place.stream)).arg(&group.name);
            commands.arg(&group.consumer).arg(0).arg(place.id);
            commands.arg("RETRYCOUNT").arg(count).arg("JUSTID");
        }
        if commands.is_empty() {
            return Ok(());
        }
        for answer in self.shared.server.ask_all(&commands).await? {
            match answer.map_err(Failure::from) {
                // Without the group, there is nothing to acknowledge: the reader makes it anew.
                Err(failure) if !failure.is_missing_group() => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A settlement that does not succeed: it is said once, and tried again less and less often.
struct Trouble<'a> {
    subscriber: &'a str,
    backoff: Backoff,
    is_said: bool,
}

impl<'a> Trouble<'a> {
    fn new(settler: &'a Settler) -> Self {
        Self { subscriber: &settler.inbox.subscriber, backoff: Backoff::new(), is_said: false }
    }

    async fn wait_after(&mut self, failure: &Failure) {
        // That the server is away is said elsewhere.
        if !failure.is_passing() && !std::mem::replace(&mut self.is_said, true) {
            let subscriber = self.subscriber;
            tracing::warn!(subscriber, error = %failure, "Redis refuses a settlement; trying again");
        }
        sleep(self.backoff.next_wait()).await;
    }
}

#[derive(Default)]
struct Batch {
    done: Vec<u64>,
    counts: Vec<(u64, u32)>,
}
