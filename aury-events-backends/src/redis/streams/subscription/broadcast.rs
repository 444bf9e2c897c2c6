//! Reading without a group: every process gets every event.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use redis::{RedisError, aio::MultiplexedConnection};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    super::{
        inbox::{DeliveryCount, Inbox, Intake},
        server::{Failure, Stream, commands, known_events, parse_entries, parse_streams},
        shared::Shared,
    },
    interruptions::Interruptions,
};
use crate::{
    envelope::{EventName, Topic},
    kit::lock,
    redis::connection::within,
};

const KNOWN: &str = include_str!("../scripts/known.lua");

/// How long the server keeps a read open that finds nothing.
const BLOCK: Duration = Duration::from_millis(500);

/// How long the server may take to answer, besides.
const ANSWER: Duration = Duration::from_secs(5);

/// Reads the streams of a `broadcast` subscriber from the time of its subscription on.
///
/// Its position is kept in this process, across reconnections, and made known to the server together with a sign of
/// life, so that a stream is not trimmed before it. It is lost with the process, as the subscription is.
#[derive(Debug)]
pub(crate) struct Broadcast {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    /// Unique to this subscription.
    pub(crate) consumer: String,
    /// `{service}/{subscriber}`.
    pub(crate) name: String,
    pub(crate) topic: Topic,
    /// The streams, each with the id of the last entry that was read from it.
    pub(crate) positions: Mutex<Vec<(Stream, String)>>,
}

impl Broadcast {
    fn positions(&self) -> MutexGuard<'_, Vec<(Stream, String)>> {
        lock(&self.positions)
    }

    /// Takes the positions from which to read. What is published when this is done is read. Repeating it changes
    /// nothing.
    pub(crate) async fn begin(&self) -> Result<(), Failure> {
        let Shared { server, keys, .. } = &*self.shared;
        let events = match &self.topic {
            Topic::Event(event) => vec![event.clone()],
            Topic::Pattern(_) => known_events(server, keys).await?,
        };
        let replays = Stream::new(keys.replay(&self.name), None);
        let mut streams = vec![replays];
        for event in events.into_iter().filter(|event| self.topic.matches(event)) {
            streams.push(self.stream_of(event));
        }
        for stream in streams {
            let mut last = redis::cmd("XREVRANGE");
            last.arg(&*stream.key).arg("+").arg("-").arg("COUNT").arg(1);
            let last = parse_entries(server.ask(&last).await?);
            let position = last.first().map_or("0-0".to_owned(), |entry| entry.id.to_string());
            self.add(stream, position);
        }
        self.make_known().await
    }

    fn stream_of(&self, event: EventName) -> Stream {
        Stream::new(self.shared.keys.stream(event.as_str()), Some(event))
    }

    /// Begins to read a stream that has appeared, from its first entry.
    pub(crate) fn discover(&self, event: &EventName) {
        if self.topic.matches(event) {
            self.add(self.stream_of(event.clone()), "0-0".to_owned());
        }
    }

    fn add(&self, stream: Stream, position: String) {
        let mut positions = self.positions();
        if positions.iter().all(|(known, _)| known.key != stream.key) {
            positions.push((stream, position));
        }
    }

    /// Reads until the inbox takes no more, reconnecting for ever.
    pub(crate) async fn run(&self) {
        tokio::select! {
            () = self.keep_reading() => {}
            () = self.inbox.reached(Intake::Draining) => {}
        }
        self.inbox.set_live(false);
    }

    async fn keep_reading(&self) {
        let mut interruptions = Interruptions::none();
        while let Err(failure) = self.read_on_one_connection(&mut interruptions).await {
            interruptions.pause(&self.shared, &self.inbox, &failure).await;
        }
    }

    async fn read_on_one_connection(
        &self,
        interruptions: &mut Interruptions,
    ) -> Result<(), Failure> {
        // The connection of all tells when its server is not the one to read from any more.
        let all = self.shared.server.connection().await?;
        let mut connection = self.shared.client.open_beside(&all).await?;
        self.step_back_if_flushed().await?;
        interruptions.begin(&self.inbox);
        while let Some(room) = self.inbox.wait_for_room().await {
            if !all.while_it_lasts(self.read(&mut connection, room)).await? {
                self.step_back_if_flushed().await?;
            }
            interruptions.end(&self.shared, &self.inbox);
        }
        Ok(())
    }

    /// Reads on; gives whether there was anything.
    async fn read(
        &self,
        connection: &mut MultiplexedConnection,
        room: usize,
    ) -> Result<bool, RedisError> {
        let positions = self.positions().clone();
        if positions.is_empty() {
            sleep(BLOCK).await;
            return Ok(false);
        }
        let mut read = redis::cmd("XREAD");
        // Nothing is unacknowledged here, so a little too much does no harm.
        read.arg("COUNT").arg(room.div_ceil(positions.len()));
        read.arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS");
        let (streams, ids): (Vec<_>, Vec<_>) =
            positions.iter().map(|(stream, position)| (&*stream.key, &**position)).unzip();
        read.arg(streams).arg(ids);
        let reading = connection.send_packed_command(&read);
        let streams = parse_streams(within(BLOCK + ANSWER, reading).await?.extract_error()?);
        let found = !streams.is_empty();
        for (key, entries) in streams {
            let number = positions.iter().position(|(it, _)| it.key.as_bytes() == key);
            let Some(number) = number else { continue };
            for entry in entries {
                let (stream, id) = (&positions[number].0, entry.id.to_string());
                // In an event's own stream, anybody may have written one.
                let letter = if stream.event.is_none() { entry.letter() } else { None };
                let is_taken = self.shared.receive(
                    &self.inbox,
                    number,
                    stream,
                    entry,
                    DeliveryCount::FIRST,
                    false,
                );
                // One by one: what a panic leaves is read again.
                self.positions()[number].1 = id;
                // What fails here leaves a letter that has been replayed, which does less harm than none.
                if let Some(letter) = letter.filter(|_| is_taken) {
                    let subscriber = &self.inbox.subscriber;
                    let _ = self.shared.dead_letters.remove(subscriber, &letter).await;
                }
            }
        }
        Ok(found)
    }

    /// A stream that is gone was flushed; what it holds when it comes back is all new.
    async fn step_back_if_flushed(&self) -> Result<(), Failure> {
        let streams: Vec<_> = self.positions().iter().map(|(it, _)| it.key.clone()).collect();
        if streams.is_empty() {
            return Ok(());
        }
        let mut exist = commands();
        for key in &streams {
            exist.cmd("EXISTS").arg(&**key);
        }
        for (number, exists) in self.shared.server.ask_all(&exist).await?.into_iter().enumerate() {
            if exists? == redis::Value::Int(0) {
                self.positions()[number].1 = "0-0".to_owned();
            }
        }
        Ok(())
    }

    /// Makes the positions known, again and again; to be dropped in the end.
    pub(crate) async fn keep_known(&self) -> Infallible {
        let mut ticks = interval(self.shared.beat());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let _alive = self.shared.pulse.keep(self.shared.keys.alive(&self.consumer));
        loop {
            ticks.tick().await;
            // What fails is tried again the next time.
            let _ = self.make_known().await;
        }
    }

    async fn make_known(&self) -> Result<(), Failure> {
        let keys = &self.shared.keys;
        let millis = self.shared.min_idle.as_millis() as u64;
        let positions = self.positions().clone();
        let mut read = Vec::with_capacity(positions.len());
        for (stream, position) in &positions {
            if let Some(event) = &stream.event {
                read.push((keys.readers(event.as_str()), position));
            }
        }
        let mut known = redis::cmd("EVAL");
        known.arg(KNOWN).arg(2 + read.len());
        known.arg(keys.alive(&self.consumer)).arg(keys.replayed_to(&self.name));
        for (readers, _) in &read {
            known.arg(readers);
        }
        known.arg(millis).arg(&self.consumer);
        for (_, position) in &read {
            known.arg(&**position);
        }
        self.shared.server.ask(&known).await.map(drop)
    }

    /// Lets the streams be trimmed.
    pub(crate) async fn retire(&self) -> Result<(), Failure> {
        let mut forget = redis::cmd("DEL");
        forget.arg(self.shared.keys.alive(&self.consumer));
        self.shared.server.ask(&forget).await.map(drop)
    }
}
