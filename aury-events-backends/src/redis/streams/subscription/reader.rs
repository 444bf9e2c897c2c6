//! Reading the streams of a group.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use redis::{Cmd, RedisError, Value, aio::MultiplexedConnection};
use tokio::{task::yield_now, time::sleep};

use super::{
    super::{
        inbox::{DeliveryCount, Inbox, Intake, Place},
        server::{
            Entry, Failure, Group, RETRIES, Stream, is_missing_group, parse_entries, parse_pending,
            parse_streams,
        },
        shared::Shared,
    },
    interruptions::Interruptions,
};
use crate::redis::connection::within;

/// How long the server keeps a read open that finds nothing. A stream that is discovered meanwhile waits for its end.
const BLOCK: Duration = Duration::from_millis(500);

/// How long the server may take to answer, besides.
const ANSWER: Duration = Duration::from_secs(5);

/// How many of the entries that were delivered and not acknowledged are looked at in one go.
const PAGE: usize = 500;

/// Reads what is new for one group, on a connection of its own: a read that waits would hold up all commands after it.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) group: Arc<Group>,
}

impl Reader {
    /// Reads until the inbox takes no more, reconnecting for ever.
    pub(crate) async fn run(&self) {
        tokio::select! {
            () = self.keep_reading() => {}
            () = self.past_the_last_read() => {}
        }
        self.inbox.set_live(false);
    }

    /// A read that is under way when the inbox closes is waited for: the server may be answering it.
    async fn past_the_last_read(&self) {
        self.inbox.reached(Intake::Draining).await;
        sleep(BLOCK * 2).await;
    }

    async fn keep_reading(&self) {
        let mut interruptions = Interruptions::none();
        while let Err(failure) = self.read_on_one_connection(&mut interruptions).await {
            interruptions.pause(&self.shared, &self.inbox, &failure).await;
        }
    }

    /// Reads until the connection fails, or the inbox takes no more.
    async fn read_on_one_connection(
        &self,
        interruptions: &mut Interruptions,
    ) -> Result<(), Failure> {
        let Shared { server, keys, client, .. } = &*self.shared;
        // The connection of all tells when its server is not the one to read from any more.
        let all = server.connection().await?;
        let mut connection = client.open_beside(&all).await?;
        self.say_gone(&self.group.restore(server, keys).await?);
        self.recover().await?;
        interruptions.begin(&self.inbox);
        let (mut turn, mut replied) = (0, Reply::default());
        loop {
            let Some(room) = self.room_beside(&mut replied).await else { break };
            let reading = self.read(&mut connection, room, turn);
            let reading = self.taking_in(std::mem::take(&mut replied), reading);
            match all.while_it_lasts(reading).await {
                Ok(reply) => {
                    replied = reply;
                    interruptions.end(&self.shared, &self.inbox);
                }
                Err(error) if is_missing_group(&error) => {
                    self.say_gone(&self.group.restore(server, keys).await?);
                }
                // One of many keys holds something else: the others are read on.
                Err(error) if error.code() == Some("WRONGTYPE") => {
                    self.group.look_at_types(server).await?;
                    interruptions.wait().await;
                }
                Err(error) => return Err(error.into()),
            }
            turn += 1;
        }
        Ok(())
    }

    /// Waits for room beside a reply. It is taken in here, unless there is room for another one by now.
    async fn room_beside(&self, replied: &mut Reply) -> Option<usize> {
        if let Some(room) = self.inbox.room_after(replied.count()) {
            return Some(room);
        }
        self.take_in(std::mem::take(replied));
        self.inbox.wait_for_room().await
    }

    /// Takes in a reply while the server works on the next one.
    async fn taking_in<T>(&self, replied: Reply, reading: impl Future<Output = T>) -> T {
        let mut reading = pin!(reading);
        if replied.count() > 0 {
            let early = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
            // So that the task of the connection sends it.
            yield_now().await;
            self.take_in(replied);
            if let Poll::Ready(read) = early {
                return read;
            }
        }
        reading.await
    }

    /// Says that somebody has deleted streams, or their groups. What was in them is lost.
    fn say_gone(&self, streams: &[Arc<str>]) {
        for stream in streams {
            tracing::warn!(
                bus = &*self.shared.bus,
                subscriber = &*self.inbox.subscriber,
                stream = &**stream,
                group = &*self.group.name,
                "the stream or its group was gone, with the events that were not handled; it is there again"
            );
        }
    }

    /// Reads at most as many entries as there is room for.
    ///
    /// A read is bounded per stream. With less room than streams, the streams take turns.
    async fn read(
        &self,
        connection: &mut MultiplexedConnection,
        room: usize,
        turn: usize,
    ) -> Result<Reply, RedisError> {
        let streams = self.group.streams();
        let events: Vec<usize> =
            (1..streams.len()).filter(|number| streams[*number].is_stream()).collect();
        if events.is_empty() {
            sleep(BLOCK).await;
            return Ok(Reply::default());
        }
        let taken = events.len().min(room);
        let has_all = taken == events.len();
        let chosen = (0..taken).map(|it| events[(turn * taken + it) % events.len()]);
        let chosen: Vec<&Stream> = chosen.map(|number| &streams[number]).collect();
        let block = if has_all { BLOCK } else { BLOCK / 50 };
        let read = read_group(&self.group, room / taken, Some(block), &chosen);
        let reading = connection.send_packed_command(&read);
        let value = within(block + ANSWER, reading).await?.extract_error()?;
        Ok(Reply::new(value, streams))
    }

    /// Reads retries that are due, without waiting. They are few, and reading them apart leaves all room to the events.
    pub(crate) async fn read_retries(&self) -> Result<(), Failure> {
        let room = self.inbox.room_beside();
        if room == 0 || self.inbox.intake() != Intake::Open {
            return Ok(());
        }
        let streams = self.group.streams();
        let read = read_group(&self.group, room, None, &[&streams[RETRIES]]);
        let value = self.shared.server.ask(&read).await?;
        self.take_in(Reply::new(value, streams));
        Ok(())
    }

    fn take_in(&self, reply: Reply) {
        for (number, entries) in reply.entries {
            self.shared.receive_new(&self.inbox, number, &reply.streams[number], entries);
        }
    }

    /// Takes in what was delivered to this consumer and did not arrive, as when the connection broke under a reply.
    async fn recover(&self) -> Result<(), Failure> {
        let (name, consumer) = (&self.group.name, &self.group.consumer);
        let streams = self.group.streams();
        for (number, stream) in streams.iter().enumerate().filter(|(_, it)| it.is_stream()) {
            let mut start = "-".to_owned();
            loop {
                let mut pending = redis::cmd("XPENDING");
                pending.arg(&*stream.key).arg(name).arg(&start).arg("+").arg(PAGE).arg(consumer);
                let page = parse_pending(self.shared.server.ask(&pending).await?);
                let Some((last, _)) = page.last() else { break };
                start = format!("({last}");
                for &(id, count) in &page {
                    let place = Place { stream: number, id };
                    if self.inbox.holds(place) {
                        continue;
                    }
                    // No handler has begun this attempt, so it is not counted again.
                    let mut claim = redis::cmd("XCLAIM");
                    claim.arg(&*stream.key).arg(name).arg(consumer).arg(0).arg(id);
                    claim.arg("RETRYCOUNT").arg(count);
                    let count = DeliveryCount::new(count);
                    let claimed = parse_entries(self.shared.server.ask(&claim).await?);
                    if claimed.is_empty() {
                        // It was deleted. Before version 7, it stays pending until somebody acknowledges it.
                        self.inbox.take_in_broken(place, None);
                    }
                    for entry in claimed {
                        self.shared.receive(&self.inbox, number, stream, entry, count, false);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a read has found.
#[derive(Default)]
struct Reply {
    /// The streams of the group when it was read.
    streams: Arc<[Stream]>,
    /// Entries, each with the number of their stream.
    entries: Vec<(usize, Vec<Entry>)>,
}

impl Reply {
    fn new(value: Value, streams: Arc<[Stream]>) -> Self {
        let number = |key: Vec<u8>| streams.iter().position(|it| it.key.as_bytes() == key);
        let found = parse_streams(value).into_iter();
        let entries = found.filter_map(|(key, entries)| Some((number(key)?, entries))).collect();
        Self { streams, entries }
    }

    fn count(&self) -> usize {
        self.entries.iter().map(|(_, entries)| entries.len()).sum()
    }
}

fn read_group(group: &Group, count: usize, block: Option<Duration>, streams: &[&Stream]) -> Cmd {
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg(&group.name).arg(&group.consumer).arg("COUNT").arg(count.max(1));
    if let Some(block) = block {
        // Zero would be for ever.
        read.arg("BLOCK").arg((block.as_millis() as u64).max(1));
    }
    let keys: Vec<&str> = streams.iter().map(|stream| &*stream.key).collect();
    read.arg("STREAMS").arg(keys).arg(vec![">"; streams.len()]);
    read
}
