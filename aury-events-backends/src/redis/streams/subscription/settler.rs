//! Telling the server what became of deliveries: acknowledgements here, what is stored elsewhere in [`put_away`].

mod put_away;

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::sleep;

use self::put_away::Refused;
use crate::{
    kit::Backoff,
    redis::streams::{
        inbox::{Inbox, Tell},
        server::{Failure, Group, commands},
        shared::Shared,
    },
};

/// Tells the server what became of the deliveries of one subscriber, until there will be nothing more to tell.
///
/// While the server takes one batch, the next one gathers: the longer a round trip takes, the more acknowledgements it
/// carries. An event that is kept elsewhere is stored and acknowledged in one step.
///
/// What cannot be said is repeated until it has been. One settlement that the server refuses has a wait of its own, and
/// holds up no other.
#[derive(Debug)]
pub(crate) struct Settler {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    /// `None` for a `broadcast` subscriber: nothing is acknowledged.
    pub(crate) group: Option<Arc<Group>>,
    refused: Refused,
}

impl Settler {
    pub(crate) fn new(shared: Arc<Shared>, inbox: Arc<Inbox>, group: Option<Arc<Group>>) -> Self {
        Self { shared, inbox, group, refused: Refused::default() }
    }

    pub(crate) async fn run(&self) {
        tokio::select! {
            () = self.tell_all() => {}
            never = self.put_all_away() => match never {},
        }
    }

    async fn tell_all(&self) {
        while !self.inbox.is_finished() {
            let mut orders = self.inbox.to_tell.take();
            if orders.is_empty() {
                self.inbox.to_tell.added().await;
                continue;
            }
            let mut batch = Batch::default();
            for order in orders.iter() {
                match order {
                    Tell::Ack { tag } => batch.done.push(*tag),
                    Tell::Count { tag, count } => batch.counts.push((*tag, count.get())),
                }
            }
            let mut trouble = Trouble::new(self);
            while let Err(failure) = self.send(&batch).await {
                trouble.wait_after(&failure).await;
            }
            orders.clear();
            if !batch.counts.is_empty() {
                self.inbox.note_told(batch.counts.iter().map(|&(tag, _)| tag));
            }
            self.inbox.release(batch.done);
        }
    }

    async fn send(&self, batch: &Batch) -> Result<(), Failure> {
        let Some(group) = &self.group else { return Ok(()) };
        let mut commands = commands();
        let mut done: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for place in self.inbox.places_of(&batch.done) {
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
                Err(failure) if failure.is_passing() => return Err(failure),
                // Without the group, or with something else in the stream's place, there is nothing to acknowledge. What
                // the server refuses otherwise, as for want of a right, it hands out again one day.
                Err(failure) if !failure.is_missing_group() => self.say_unacknowledged(&failure),
                _ => {}
            }
        }
        Ok(())
    }

    /// What is to be said once a minute: the subscriber, and what kind of refusal it is.
    fn refusal_of(&self, failure: &Failure) -> String {
        let kind = match failure {
            Failure::Refused(error) => error.code().unwrap_or("ERR"),
            Failure::Unreachable(_) => "unreachable",
        };
        format!("{} {kind}", self.inbox.subscriber)
    }

    fn say_unacknowledged(&self, failure: &Failure) {
        if self.shared.is_refusal_said.is_due(self.refusal_of(failure)) {
            tracing::warn!(
                bus = &*self.shared.bus,
                subscriber = &*self.inbox.subscriber,
                error = failure as &dyn std::error::Error,
                "Redis refuses an acknowledgement"
            );
        }
    }
}

/// A batch that does not get through: it is said once, and tried again less and less often.
struct Trouble<'a> {
    settler: &'a Settler,
    backoff: Backoff,
    is_said: bool,
}

impl<'a> Trouble<'a> {
    fn new(settler: &'a Settler) -> Self {
        Self { settler, backoff: Backoff::new(), is_said: false }
    }

    async fn wait_after(&mut self, failure: &Failure) {
        let Settler { shared, inbox, .. } = self.settler;
        // That the server is away is said elsewhere.
        if shared.server.is_up() && !std::mem::replace(&mut self.is_said, true) {
            tracing::warn!(
                bus = &*shared.bus,
                subscriber = &*inbox.subscriber,
                error = failure as &dyn std::error::Error,
                "could not settle deliveries; trying again"
            );
        }
        sleep(self.backoff.next_wait()).await;
    }
}

#[derive(Default)]
struct Batch {
    done: Vec<u64>,
    counts: Vec<(u64, u64)>,
}
