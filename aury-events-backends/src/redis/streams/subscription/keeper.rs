//! Keeping what a live consumer holds, and taking over what a dead one held.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    super::{
        inbox::{DeliveryCount, Inbox, Intake},
        server::{Failure, Group, Taken, parse_taken},
        shared::Shared,
    },
    Reader,
};
use crate::kit::Backoff;

const ABSOLVE: &str = include_str!("../scripts/absolve.lua");
const ALIVE: &str = include_str!("../scripts/alive.lua");
const BEGIN: &str = include_str!("../scripts/begin.lua");
const CLAIM: &str = include_str!("../scripts/claim.lua");
const RETIRE: &str = include_str!("../scripts/retire.lua");

/// The consumer that owns what was left in order. Nobody reads under this name.
const NOBODY: &str = "nobody";

/// How often retries that are due are looked for.
const RETRIES_EVERY: Duration = Duration::from_millis(500);

/// Looks after the consumer of one subscriber in its group.
///
/// A consumer gives a sign of life: a key that expires after the idle time unless it is set again, which happens four
/// times as often. Whoever has none is dead, and others take over what it held once that has been idle for as long. So
/// one command keeps all that a consumer holds, however slow its handlers are; renewing each entry would take one each.
///
/// What a consumer leaves in order belongs to nobody, and is taken over with the next sign of life.
///
/// When the server was away or stood still, the signs of life of all are gone for a moment. So nobody takes over
/// anything before its own sign of life has been taken, promptly, for a whole idle time.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) group: Arc<Group>,
}

impl Keeper {
    /// Goes on for ever; to be dropped in the end.
    pub(crate) async fn run(&self, reader: &Reader) -> Infallible {
        let beat = self.shared.beat();
        let mut ticks = interval(beat.min(RETRIES_EVERY));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_beat = Instant::now();
        let alive = self.shared.pulse.keep(self.shared.keys.alive(&self.group.consumer));
        loop {
            ticks.tick().await;
            if Instant::now() >= next_beat {
                next_beat = Instant::now() + beat;
                if alive.has_lapsed() {
                    self.note(self.absolve().await);
                }
                let knows_dead = alive.steady_for() >= self.shared.min_idle;
                self.note(self.claim(knows_dead).await);
            }
            if self.shared.server.is_up() {
                self.note(reader.read_retries().await);
            }
        }
    }

    /// Tells the others that this consumer is alive, before it holds anything.
    pub(crate) async fn give_sign_of_life(&self) -> Result<(), Failure> {
        let mut alive = redis::cmd("EVAL");
        alive.arg(ALIVE).arg(1).arg(self.shared.keys.alive(&self.group.consumer));
        alive.arg(self.shared.min_idle.as_millis() as u64);
        self.shared.server.ask(&alive).await.map(drop)
    }

    /// Takes back what the server was told of handlers that began: this process was silent for so long that others may
    /// have taken it for dead, but it is not.
    async fn absolve(&self) -> Result<(), Failure> {
        let begun = self.inbox.begun_suspects();
        for (number, stream) in self.group.streams().iter().enumerate() {
            let ids: Vec<_> =
                begun.iter().filter(|it| it.stream == number).map(|place| place.id).collect();
            if ids.is_empty() {
                continue;
            }
            let mut absolve = redis::cmd("EVAL");
            absolve.arg(ABSOLVE).arg(1).arg(&*stream.key).arg(&self.group.name);
            absolve.arg(DeliveryCount::INTERRUPTION).arg(ids);
            self.shared.server.ask(&absolve).await?;
        }
        Ok(())
    }

    /// Has the server know of each suspect that its handler begins, before it does. Goes on for ever; to be dropped in
    /// the end.
    pub(crate) async fn clear_suspects(&self) -> Infallible {
        let mut backoff = Backoff::new();
        loop {
            let place = self.inbox.suspect_wanted().await.place;
            let mut begin = redis::cmd("EVAL");
            begin.arg(BEGIN).arg(1).arg(&*self.group.key(place.stream)).arg(&self.group.name);
            begin.arg(&self.group.consumer).arg(place.id).arg(self.shared.max_interruptions);
            begin.arg(DeliveryCount::INTERRUPTION);
            let answer = self.shared.server.ask(&begin).await.and_then(|answer| {
                let parsed = redis::from_redis_value::<(i64, u32)>(answer);
                parsed.map_err(|error| redis::RedisError::from(error).into())
            });
            match answer {
                Ok((1, _)) => self.inbox.clear_suspect(),
                Ok((0, times)) => self.inbox.condemn_suspect(times),
                Ok(_) => self.inbox.lose_suspect(),
                Err(failure) => {
                    if failure.is_missing_group() {
                        // With the group, the server has forgotten the entry.
                        self.inbox.lose_suspect();
                        continue;
                    }
                    self.inbox.suspend_suspects();
                    self.note(Err(failure));
                    sleep(backoff.next_wait()).await;
                    self.inbox.resume_suspects();
                    continue;
                }
            }
            backoff = Backoff::new();
        }
    }

    /// Takes over from nobody, and from the dead if they are known, as much as there is room for. Removes consumers that
    /// are dead and hold nothing.
    async fn claim(&self, knows_dead: bool) -> Result<(), Failure> {
        let keys = &self.shared.keys;
        let streams = self.group.streams();
        for (number, stream) in streams.iter().enumerate().filter(|(_, it)| it.is_stream()) {
            if self.inbox.intake() != Intake::Open {
                return Ok(());
            }
            let mut claim = redis::cmd("EVAL");
            claim.arg(CLAIM).arg(2).arg(&*stream.key).arg(keys.alive(&self.group.consumer));
            claim.arg(&self.group.name).arg(&self.group.consumer).arg(keys.alive(""));
            claim.arg(self.shared.min_idle.as_millis() as u64).arg(self.inbox.room_beside());
            claim.arg(NOBODY).arg(u8::from(knows_dead));
            let taken = parse_taken(self.shared.server.ask(&claim).await?);
            if !taken.is_empty() {
                tracing::info!(
                    bus = &*self.shared.bus,
                    subscriber = &*self.inbox.subscriber,
                    stream = &*stream.key,
                    entries = taken.len(),
                    "took over from a process that has ended"
                );
            }
            for Taken { entry, count, is_suspect } in taken {
                let count = DeliveryCount::new(count);
                self.shared.receive(&self.inbox, number, stream, entry, count, is_suspect);
            }
        }
        Ok(())
    }

    /// Leaves the group: others take over at once what is not acknowledged.
    pub(crate) async fn retire(&self) -> Result<(), Failure> {
        let begun = self.inbox.begun_suspects();
        let streams = self.group.streams();
        for (number, stream) in streams.iter().enumerate().filter(|(_, it)| it.is_stream()) {
            let mut retire = redis::cmd("EVAL");
            retire.arg(RETIRE).arg(2).arg(&*stream.key);
            retire.arg(self.shared.keys.alive(&self.group.consumer));
            retire.arg(&self.group.name).arg(&self.group.consumer);
            retire.arg(NOBODY).arg(DeliveryCount::INTERRUPTION);
            for place in begun.iter().filter(|place| place.stream == number) {
                retire.arg(place.id);
            }
            self.shared.server.ask(&retire).await?;
        }
        Ok(())
    }

    /// What fails is tried again the next time; that the server is away is said elsewhere.
    fn note(&self, outcome: Result<(), Failure>) {
        if let Err(failure) = outcome
            && !failure.is_passing()
            && !failure.is_missing_group()
        {
            let (bus, subscriber) = (&*self.shared.bus, &*self.inbox.subscriber);
            let said = format!("{subscriber}: {failure}");
            if self.shared.is_upkeep_said.is_due(said) {
                tracing::warn!(bus, subscriber, error = %failure, "Redis refuses the upkeep of a group");
            }
        }
    }
}
