//! Events that are stored elsewhere, to be delivered again later or as dead letters, and acknowledged in one step.

use std::{collections::BTreeMap, convert::Infallible, sync::Mutex, time::Duration};

use redis::{Cmd, RedisError, Value};
use tokio::time::{Instant, sleep_until};

use super::{Settler, Trouble};
use crate::{
    error::BackendError,
    kit::{due_after, lock},
    redis::{
        dead_letters::Delivered,
        streams::{
            inbox::{InHand, Kept, PutAway},
            server::{Failure, commands},
            shared::Shared,
        },
    },
};

const DELAY: &str = include_str!("../../scripts/delay.lua");

/// How many events are put away in one go.
const AT_ONCE: usize = 64;

/// The longest wait before the server is asked again for something that it has refused.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The settlements that the server has refused, by the time of the next try.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<BTreeMap<(Instant, u64), PutAway>>);

impl Refused {
    fn add(&self, due: Instant, order: PutAway) {
        lock(&self.0).insert((due, order.tag), order);
    }

    fn next_due(&self) -> Option<Instant> {
        lock(&self.0).first_key_value().map(|(&(due, _), _)| due)
    }

    /// Moves those that are due to the orders in hand.
    fn give_due(&self, orders: &mut InHand<'_, PutAway>) {
        let mut refused = lock(&self.0);
        while let Some(first) = refused.first_entry() {
            if first.key().0 > Instant::now() {
                return;
            }
            orders.push_back(first.remove());
        }
    }
}

/// What becomes of an order.
enum Fate {
    /// The server is asked.
    Asked,
    Stored(Value),
    /// Nobody holds the event any more.
    Gone,
    Refused(Failure),
}

impl Settler {
    pub(super) async fn put_all_away(&self) -> Infallible {
        loop {
            let due = self.refused.next_due();
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
            let mut orders = self.inbox.to_put_away.take();
            self.refused.give_due(&mut orders);
            while !orders.is_empty() {
                self.put_away(&mut orders).await;
            }
        }
    }

    /// Puts the next events away, and waits for the server if it is out of reach. An order leaves the hand when all that
    /// could panic over it has been done.
    async fn put_away(&self, orders: &mut InHand<'_, PutAway>) {
        let mut scripts = commands();
        let mut fates: Vec<_> = orders
            .iter()
            .take(AT_ONCE)
            .map(|order| match self.script(order) {
                Ok(Some(script)) => {
                    scripts.add_command(script);
                    Fate::Asked
                }
                Ok(None) => Fate::Gone,
                Err(error) => Fate::Refused(error.into()),
            })
            .collect();
        let answers = self.answers(&scripts).await;
        let asked = fates.iter_mut().filter(|fate| matches!(fate, Fate::Asked));
        for (fate, answer) in asked.zip(answers) {
            *fate = answer.map_or_else(|error| Fate::Refused(error.into()), Fate::Stored);
        }
        for fate in fates {
            self.finish(orders, fate);
        }
    }

    /// What the server answers to each script, when it is in reach.
    async fn answers(&self, scripts: &redis::Pipeline) -> Vec<Result<Value, RedisError>> {
        let mut trouble = Trouble::new(self);
        loop {
            if scripts.is_empty() {
                return Vec::new();
            }
            match self.shared.server.ask_all(scripts).await {
                Ok(answers) if !answers.iter().any(is_passing) => return answers,
                // Each script knows by itself what it has done before.
                Ok(answers) => {
                    let passing = answers.into_iter().find(is_passing).and_then(Result::err);
                    if let Some(error) = passing {
                        trouble.wait_after(&error.into()).await;
                    }
                }
                Err(failure) => trouble.wait_after(&failure).await,
            }
        }
    }

    /// Is done with the first order in hand.
    fn finish(&self, orders: &mut InHand<'_, PutAway>, fate: Fate) {
        let Some(order) = orders.front() else { return };
        let is_delayed = matches!(order.kind, Kept::Delayed { .. });
        match &fate {
            Fate::Stored(said) if !is_delayed => {
                self.shared.dead_letters.note_stored(&self.inbox.subscriber, said);
            }
            Fate::Refused(failure) => self.say_refused(order, failure),
            _ => {}
        }
        let Some(mut order) = orders.pop_front() else { return };
        if !matches!(fate, Fate::Refused(_)) {
            self.inbox.release([order.tag]);
        }
        if let Some(stored) = order.stored.take() {
            // Whoever has stopped waiting need not know.
            let _ = stored.send(());
        }
        if matches!(fate, Fate::Refused(_)) {
            self.wait_with(order);
        }
    }

    /// A retry that the server does not keep waits here. Anything else is tried again, after a longer wait each time.
    fn wait_with(&self, mut order: PutAway) {
        if let Kept::Delayed { envelope, attempt, after } = order.kind {
            self.inbox.park(order.tag, envelope, attempt, due_after(after));
            return;
        }
        self.inbox.note_refused(order.tag);
        let wait = order.waited.map_or(Duration::from_secs(1), |it| (it * 2).min(LONGEST_WAIT));
        order.waited = Some(wait);
        self.refused.add(Instant::now() + wait, order);
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

    fn say_refused(&self, order: &PutAway, failure: &Failure) {
        if self.shared.is_refusal_said.is_due(self.refusal_of(failure)) {
            tracing::warn!(
                bus = &*self.shared.bus,
                subscriber = &*self.inbox.subscriber,
                what = order.kind.name(),
                error = failure as &dyn std::error::Error,
                "Redis refuses to store what became of an event: it is tried again, and others go on"
            );
        }
    }
}

fn is_passing(answer: &Result<Value, RedisError>) -> bool {
    answer.as_ref().is_err_and(crate::redis::streams::server::is_passing)
}
