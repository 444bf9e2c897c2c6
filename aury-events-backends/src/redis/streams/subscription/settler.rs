//! Telling the server what became of deliveries.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::super::{
    inbox::{Inbox, Kept, PutAway, Tell},
    server::{Failure, Group, commands},
    shared::Shared,
};
use crate::{envelope::Envelope, error::BackendError, kit::Backoff};

const DELAY: &str = include_str!("../scripts/delay.lua");

/// Tells the server what became of the deliveries of one subscriber, until there will be nothing more to tell.
///
/// While the server takes one batch, the next one gathers: the longer a round trip takes, the more acknowledgements it
/// carries. What fails is repeated until it has succeeded. An event that is kept elsewhere is acknowledged after it is
/// stored there, so a crash between the two stores it twice rather than not at all; and while a full server refuses to
/// store it, the acknowledgements of others, by which the server can be relieved, go on.
#[derive(Debug)]
pub(crate) struct Settler {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    /// `None` for a `broadcast` subscriber: nothing is acknowledged.
    pub(crate) group: Option<Arc<Group>>,
}

impl Settler {
    pub(crate) async fn run(&self) {
        tokio::select! {
            () = self.tell_all() => {}
            never = self.put_all_away() => match never {},
        }
    }

    async fn tell_all(&self) {
        while !self.inbox.is_finished() {
            let orders = self.inbox.to_tell.take();
            if orders.is_empty() {
                self.inbox.to_tell.added().await;
                continue;
            }
            let mut batch = Batch::default();
            for order in orders {
                match order {
                    Tell::Ack { tag } => batch.done.push(tag),
                    Tell::Count { tag, count } => batch.counts.push((tag, count)),
                }
            }
            let mut trouble = Trouble::new(self);
            while let Err(failure) = self.send(&batch).await {
                trouble.wait_after(&failure).await;
            }
            self.inbox.release(batch.done);
        }
    }

    async fn put_all_away(&self) -> Infallible {
        loop {
            for PutAway { tag, as_what, stored } in self.inbox.to_put_away.take() {
                let mut trouble = Trouble::new(self);
                while let Err(error) = self.keep(tag, &as_what).await {
                    trouble.wait_after(&error.into()).await;
                }
                self.inbox.to_tell.add(Tell::Ack { tag });
                // Whoever has stopped waiting need not know.
                let _ = stored.map(|stored| stored.send(()));
            }
            self.inbox.to_put_away.added().await;
        }
    }

    /// Stores an event elsewhere.
    async fn keep(&self, tag: u64, as_what: &Kept) -> Result<(), BackendError> {
        let letters = &self.shared.dead_letters;
        match as_what {
            Kept::DeadLetter(letter) => letters.store(letter).await,
            Kept::Broken(letter) => letters.store_undecodable(letter).await,
            Kept::Delayed { envelope, attempt, after } => {
                self.delay(tag, envelope, *attempt, *after).await
            }
        }
    }

    async fn delay(
        &self,
        tag: u64,
        envelope: &Envelope,
        attempt: u32,
        after: Duration,
    ) -> Result<(), BackendError> {
        let Some((group, place)) = self.group.as_ref().zip(self.inbox.place_of(tag)) else {
            return Ok(());
        };
        let keys = &self.shared.keys;
        let mut delay = redis::cmd("EVAL");
        delay.arg(DELAY).arg(3);
        delay.arg(&*group.key(place.stream)).arg(keys.delayed()).arg(keys.retry(&group.name));
        delay.arg(&group.name).arg(place.id).arg(attempt).arg(0);
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
                "could not settle a delivery; trying again"
            );
        }
        sleep(self.backoff.next_wait()).await;
    }
}

#[derive(Default)]
struct Batch {
    done: Vec<u64>,
    counts: Vec<(u64, u32)>,
}
