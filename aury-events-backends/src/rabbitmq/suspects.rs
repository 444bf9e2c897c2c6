//! Events that end the process which handles them.
//!
//! A message that is delivered again, and that nobody in this process knows, may have killed another one; or it was only
//! prefetched there, or the connection was lost, or it lay in a classic queue when the broker was killed. So it is a
//! suspect: it is moved to the subscriber's queue of suspects, which one process of the service consumes at a time.
//! Before suspects are handed out, apart from everything else, it is put on record that this process begins them: a
//! *mark* for each, in a queue beside it.
//!
//! Suspects that nobody else has begun are handled many at a time: a killed broker makes suspects of a whole classic queue.
//! When the process dies, one of them may have been the cause, so each is handled alone from then on. What has been begun
//! alone by as many processes that died since as `max_interruptions` says is a dead letter before its handler runs again.
//!
//! A process shows that it lives by a queue that is exclusive to its connection. One whose connection was lost shows it
//! again as soon as it is back; one that shuts down in order takes its marks back. So neither counts.
//!
//! The marks are the body of one message: a line for each suspect, with its number and the processes that have begun it,
//! with `+` those that have begun it together with others.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use lapin::{
    BasicProperties, Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions},
    protocol::AMQPSoftError,
    types::FieldTable,
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    declare::{answered, soft_error},
    link::{Link, channel},
    message::Message,
    names::{Names, Queues, short},
    publisher::Publisher,
    topology::Needed,
};
use crate::{error::BackendError, kit::Backoff};

/// How long a process that does not show that it lives may be without a connection, before it is taken for dead. It is
/// waited for only when one more that died would make a dead letter of a suspect.
const ABSENT: Duration = Duration::from_secs(5);

/// The latest suspects whose marks are kept.
const KEPT: usize = 256;

/// Keeps the marks of a subscriber's suspects.
pub(super) struct Suspects {
    pub(super) link: Arc<Link>,
    pub(super) names: Names,
    pub(super) queues: Queues,
    pub(super) moves: Publisher,
    /// This process.
    pub(super) process: Uuid,
    /// How many processes may die over one suspect.
    pub(super) max_interruptions: u32,
    /// Whether this process has begun a suspect, so that others may ask whether it lives.
    pub(super) has_begun: AtomicBool,
    /// Whether it shows that it lives, as far as it knows.
    pub(super) shows_life: AtomicBool,
}

/// What becomes of suspects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is on record that the first of them begin here, so many.
    Begin(usize),
    /// So many processes have died over the first.
    Interrupted(u32),
}

impl Suspects {
    /// Decides about suspects, and puts it on record which of them begin: as many of the first as nobody else has begun,
    /// or else the first alone.
    ///
    /// # Errors
    ///
    /// When the broker cannot be asked.
    pub(super) async fn begin(&self, suspects: &[u64]) -> Result<Verdict, BackendError> {
        let Some(&first) = suspects.first() else { return Ok(Verdict::Begin(0)) };
        let mut held = self.take().await?;
        held.marks.forget(self.process, suspects);
        let together = suspects.iter().take_while(|&&suspect| !held.marks.has(suspect)).count();
        if together > 1 {
            for &suspect in &suspects[..together] {
                held.marks.of(suspect).together.insert(self.process);
            }
        } else {
            let alone = &mut held.marks.of(first).alone;
            let limit = self.max_interruptions.max(1) as usize;
            if alone.len() >= limit {
                let dead = self.dead_among(alone).await?;
                if dead >= limit {
                    held.put_back().await;
                    return Ok(Verdict::Interrupted(dead as u32));
                }
            }
            alone.insert(self.process);
        }
        self.has_begun.store(true, SeqCst);
        if !self.shows_life.load(SeqCst) {
            self.show_life().await;
        }
        self.replace(held).await?;
        Ok(Verdict::Begin(together.max(1)))
    }

    /// Takes it back that this process has begun anything: it ends in order.
    pub(super) async fn withdraw(&self) -> Result<(), BackendError> {
        let mut held = self.take().await?;
        for (_, begun) in &mut held.marks.0 {
            begun.remove(self.process);
        }
        self.replace(held).await
    }

    /// How many processes are dead among some. One that may be back soon is waited for.
    async fn dead_among(&self, processes: &BTreeSet<Uuid>) -> Result<usize, BackendError> {
        let (mut absent, mut backoff) = (processes.clone(), Backoff::new());
        let since = Instant::now();
        loop {
            for process in absent.clone() {
                if self.lives(process).await? {
                    absent.remove(&process);
                }
            }
            if absent.is_empty() || since.elapsed() > ABSENT {
                return Ok(absent.len());
            }
            sleep(backoff.next_wait()).await;
        }
    }

    /// Whether a process shows that it lives.
    async fn lives(&self, process: Uuid) -> Result<bool, BackendError> {
        let channel = channel(&self.link).await?;
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let name = self.names.life(process)?;
        let asking = async {
            let declared = channel.queue_declare(name, options, FieldTable::default()).await;
            match declared {
                Ok(_) => Ok(true),
                Err(error) => match soft_error(&error) {
                    // It is exclusive to another connection.
                    Some(AMQPSoftError::RESOURCELOCKED) => Ok(true),
                    Some(AMQPSoftError::NOTFOUND) => Ok(false),
                    _ => Err(BackendError::other("see whether a process lives", error).into()),
                },
            }
        };
        let lives = answered("see whether a process lives", asking).await;
        close(channel).await;
        lives.map_err(|error| error.into_inner())
    }

    /// Shows others that this process lives, for as long as the connection does, if they may ask for it.
    pub(super) async fn show_life(&self) {
        if !self.has_begun.load(SeqCst) {
            return;
        }
        let showing = async {
            let channel = channel(&self.link).await?;
            let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
            let name = self.names.life(self.process)?;
            let declared = channel.queue_declare(name, options, FieldTable::default()).await;
            let declared =
                declared.map_err(|error| BackendError::other("show that we live", error));
            close(channel).await;
            Ok(declared.map(drop)?)
        };
        let shown = answered("show that we live", showing).await;
        self.shows_life.store(shown.is_ok(), SeqCst);
        // If an older connection of ours still holds it, it shows the same.
        if let Err(error) = shown {
            let error = error.into_inner();
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot show that we live");
        }
    }

    /// Takes the marks from their queue, to be replaced.
    async fn take(&self) -> Result<Held, BackendError> {
        let channel = channel(&self.link).await?;
        let taking = async {
            let mut held = Held { channel: channel.clone(), tag: None, marks: Marks::default() };
            loop {
                let options = BasicGetOptions::default();
                match channel.basic_get(self.queues.marks.clone(), options).await {
                    Ok(Some(message)) => held.add(&message.delivery),
                    Ok(None) => return Ok(held),
                    // There has been no suspect yet.
                    Err(error) if soft_error(&error) == Some(AMQPSoftError::NOTFOUND) => {
                        return Ok(held);
                    }
                    Err(error) => {
                        let operation = format!("read {}", self.queues.marks);
                        return Err(BackendError::other(operation, error).into());
                    }
                }
            }
        };
        let taken = answered("read the marks of suspects", taking).await;
        taken.map_err(|error| error.into_inner())
    }

    /// Puts other marks in the place of those that were taken.
    async fn replace(&self, mut held: Held) -> Result<(), BackendError> {
        held.marks.forget_old();
        let message = Message {
            exchange: short("")?,
            routing_key: self.queues.marks.clone(),
            properties: BasicProperties::default().with_delivery_mode(2),
            body: held.marks.write().into_bytes(),
            needs: Some(Needed::Marks(self.queues.marks.clone())),
        };
        match self.moves.publish(message).await {
            Ok(()) => held.forget().await,
            Err(error) => {
                held.put_back().await;
                Err(error)
            }
        }
    }
}

/// The marks, as long as they are taken from their queue.
struct Held {
    channel: Channel,
    /// The number of the last message that they came in, if there was one.
    tag: Option<u64>,
    marks: Marks,
}

impl Held {
    fn add(&mut self, message: &Delivery) {
        self.tag = Some(message.delivery_tag);
        self.marks.read(&String::from_utf8_lossy(&message.data));
    }

    async fn forget(self) -> Result<(), BackendError> {
        if let Some(tag) = self.tag {
            let acked = self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await;
            acked.map_err(|error| BackendError::other("replace the marks of suspects", error))?;
        }
        close(self.channel).await;
        Ok(())
    }

    /// Gives them back as they were: they go with the channel.
    async fn put_back(self) {
        close(self.channel).await;
    }
}

/// Closes a channel. One that is closed already is no matter.
async fn close(channel: Channel) {
    if channel.status().connected() {
        let _ = channel.close(200, "done".into()).await;
    }
}

/// The processes that have begun a suspect.
#[derive(Debug, Default, PartialEq, Eq)]
struct Begun {
    alone: BTreeSet<Uuid>,
    /// Together with others, so that any of them may have been the end of the process.
    together: BTreeSet<Uuid>,
}

impl Begun {
    fn remove(&mut self, process: Uuid) {
        self.alone.remove(&process);
        self.together.remove(&process);
    }

    fn is_empty(&self) -> bool {
        self.alone.is_empty() && self.together.is_empty()
    }
}

/// The marks of the latest suspects, the oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
struct Marks(Vec<(u64, Begun)>);

impl Marks {
    /// Adds what is written there. What makes no sense is passed over.
    fn read(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split(' ');
            let Some(Ok(suspect)) = words.next().map(str::parse) else { continue };
            let begun = self.of(suspect);
            for word in words {
                let (of, process) = match word.strip_prefix('+') {
                    Some(process) => (&mut begun.together, process),
                    None => (&mut begun.alone, word),
                };
                of.extend(process.parse::<Uuid>());
            }
        }
    }

    fn write(&self) -> String {
        let mut text = String::new();
        for (suspect, begun) in &self.0 {
            text.push_str(&suspect.to_string());
            for process in &begun.alone {
                text.push_str(&format!(" {}", process.simple()));
            }
            for process in &begun.together {
                text.push_str(&format!(" +{}", process.simple()));
            }
            text.push('\n');
        }
        text
    }

    /// Whether a process has begun a suspect.
    fn has(&self, suspect: u64) -> bool {
        self.0.iter().any(|(known, begun)| *known == suspect && !begun.is_empty())
    }

    /// Forgets that a process has begun suspects: they begin once more. What it has begun together with others is settled
    /// when it begins anything.
    fn forget(&mut self, process: Uuid, suspects: &[u64]) {
        for (suspect, begun) in &mut self.0 {
            begun.together.remove(&process);
            if suspects.contains(suspect) {
                begun.remove(process);
            }
        }
    }

    /// The processes that have begun a suspect, which is the latest one from now on.
    fn of(&mut self, suspect: u64) -> &mut Begun {
        let at = self.0.iter().position(|(known, _)| *known == suspect);
        let marks = at.map_or_else(|| (suspect, Begun::default()), |at| self.0.remove(at));
        self.0.push(marks);
        &mut self.0.last_mut().expect("it has just been added").1
    }

    fn forget_old(&mut self) {
        self.0.retain(|(_, begun)| !begun.is_empty());
        let old = self.0.len().saturating_sub(KEPT);
        self.0.drain(..old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_were_written() {
        let mut marks = Marks::default();
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        marks.of(7).alone.insert(one);
        marks.of(u64::MAX).alone.extend([one, other]);
        marks.of(8).together.extend([one, other]);
        marks.of(8).alone.insert(one);
        let mut read = Marks::default();
        read.read(&marks.write());
        assert_eq!(read, marks);
        // A crash may have left an older version beside.
        read.read(&format!("7 {}\nwhat is this\n\n-1 {one}\n7 {one} x", other.simple()));
        assert_eq!(read.of(7).alone, BTreeSet::from([one, other]));
        assert_eq!(read.0.len(), 3);
    }

    #[test]
    fn the_latest_suspects_are_kept() {
        let mut marks = Marks::default();
        for suspect in 0..2 * KEPT as u64 {
            marks.of(suspect).alone.insert(Uuid::new_v4());
        }
        marks.of(0).alone.insert(Uuid::new_v4());
        marks.forget_old();
        assert_eq!(marks.0.len(), KEPT);
        assert!(marks.0.iter().any(|(suspect, _)| *suspect == 0));
    }
}
