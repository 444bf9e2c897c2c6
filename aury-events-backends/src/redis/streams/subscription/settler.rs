//! Telling the server what became of deliveries.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use redis::{Cmd, RedisError, Value};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    error::BackendError,
    kit::{Backoff, due_after},
    redis::{
        dead_letters::Delivered,
        streams::{
            inbox::{Inbox, Kept, PutAway, Tell},
            server::{Failure, Group, commands},
            shared::Shared,
        },
    },
};

const DELAY: &str = include_str!("../scripts/delay.lua");

/// How many events are put away in one go.
const AT_ONCE: usize = 64;

/// The longest wait before the server is asked again for something that it has refused.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

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
}

/// A settlement that the server has refused, by the time of the next try.
struct Refused {
    order: PutAway,
    wait: Duration,
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
                    Tell::Count { tag, count } => batch.counts.push((tag, count.get())),
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
        let mut refused: BTreeMap<(Instant, u64), Refused> = BTreeMap::new();
        loop {
            let due = refused.first_key_value().map(|(&(due, _), _)| due);
            let next = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.inbox.to_put_away.added() => {}
                () = next => {}
            }
            let mut orders: Vec<(PutAway, Option<Duration>)> =
                self.inbox.to_put_away.take().into_iter().map(|order| (order, None)).collect();
            while let Some(first) = refused.first_entry() {
                if first.key().0 > Instant::now() {
                    break;
                }
                let Refused { order, wait } = first.remove();
                orders.push((order, Some(wait)));
            }
            let mut orders = orders.into_iter().peekable();
            while orders.peek().is_some() {
                let batch: Vec<_> = orders.by_ref().take(AT_ONCE).collect();
                for again in self.put_away(batch).await {
                    let due = Instant::now() + again.wait;
                    refused.insert((due, again.order.tag), again);
                }
            }
        }
    }

    /// Puts events away, and waits for the server if it is out of reach. Gives those that it has refused.
    async fn put_away(&self, batch: Vec<(PutAway, Option<Duration>)>) -> Vec<Refused> {
        let mut stored = Vec::new();
        let mut again = Vec::new();
        let mut asked = Vec::new();
        let mut scripts = commands();
        for (order, wait) in batch {
            match self.script(&order) {
                Ok(Some(script)) => {
                    scripts.add_command(script);
                    asked.push((order, wait));
                }
                // Nobody holds it any more.
                Ok(None) => stored.push(order),
                Err(error) => again.extend(self.note_refused(order, wait, &error.into())),
            }
        }
        let mut trouble = Trouble::new(self);
        let answers = loop {
            if asked.is_empty() {
                break Vec::new();
            }
            match self.shared.server.ask_all(&scripts).await {
                Ok(answers) if !answers.iter().any(is_passing) => break answers,
                // Each script knows by itself what it has done before.
                Ok(answers) => {
                    let passing = answers.into_iter().find(is_passing).and_then(Result::err);
                    if let Some(error) = passing {
                        trouble.wait_after(&error.into()).await;
                    }
                }
                Err(failure) => trouble.wait_after(&failure).await,
            }
        };
        for ((order, wait), answer) in asked.into_iter().zip(answers) {
            match answer {
                Ok(said) => {
                    if !matches!(order.kind, Kept::Delayed { .. }) {
                        self.shared.dead_letters.note_stored(&self.inbox.subscriber, &said);
                    }
                    stored.push(order);
                }
                Err(error) => again.extend(self.note_refused(order, wait, &error.into())),
            }
        }
        self.inbox.release(stored.iter().map(|order| order.tag));
        for order in stored {
            // Whoever has stopped waiting need not know.
            let _ = order.stored.map(|stored| stored.send(()));
        }
        again
    }

    /// The script that puts an event away; `None` if it is not held any more.
    fn script(&self, order: &PutAway) -> Result<Option<Cmd>, BackendError> {
        let Some(place) = self.inbox.place_of(order.tag) else { return Ok(None) };
        let Shared { dead_letters, .. } = &*self.shared;
        let key = self.group.as_ref().map(|group| (group, group.key(place.stream)));
        let id = place.id.to_string();
        let entry =
            key.as_ref().map(|(group, key)| Delivered { stream: key, group: &group.name, id: &id });
        match &order.kind {
            Kept::DeadLetter(letter) => dead_letters.bury(letter, entry).map(Some),
            Kept::Broken(letter) => Ok(Some(dead_letters.bury_undecodable(letter, entry))),
            Kept::Delayed { envelope, attempt, after } => {
                let Some(entry) = entry else { return Ok(None) };
                let keys = &self.shared.keys;
                let mut delay = redis::cmd("EVAL");
                delay.arg(DELAY).arg(3);
                delay.arg(entry.stream).arg(keys.delayed()).arg(keys.retry(entry.group));
                delay.arg(entry.group).arg(entry.id).arg(*attempt);
                delay.arg(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                delay.arg(self.shared.codec.encode(envelope)?);
                Ok(Some(delay))
            }
        }
    }

    /// A retry that the server does not keep waits here. Anything else is tried again, after a longer wait each time.
    fn note_refused(
        &self,
        mut order: PutAway,
        wait: Option<Duration>,
        failure: &Failure,
    ) -> Option<Refused> {
        if self.shared.is_refusal_said.is_due(self.refusal_of(failure)) {
            tracing::warn!(
                bus = &*self.shared.bus,
                subscriber = &*self.inbox.subscriber,
                what = order.kind.name(),
                error = failure as &dyn std::error::Error,
                "Redis refuses to store what became of an event: it is tried again, and others go on"
            );
        }
        if let Some(stored) = order.stored.take() {
            let _ = stored.send(());
        }
        if let Kept::Delayed { envelope, attempt, after } = order.kind {
            self.inbox.park(order.tag, envelope, attempt, due_after(after));
            return None;
        }
        self.inbox.note_refused(order.tag);
        let wait = wait.map_or(Duration::from_secs(1), |wait| (wait * 2).min(LONGEST_WAIT));
        Some(Refused { order, wait })
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

fn is_passing(answer: &Result<Value, RedisError>) -> bool {
    answer.as_ref().is_err_and(crate::redis::streams::server::is_passing)
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
