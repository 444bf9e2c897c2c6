//! Event ids: UUIDs of our own making, any string from elsewhere.

use std::{
    cell::Cell,
    convert::Infallible,
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// The identity of an event: unique within its source (CloudEvents 1.0 §`id`).
///
/// Events published here carry a UUID of version 7 (RFC 9562), which sorts by time of publication to the
/// millisecond. Events from elsewhere keep the id that they came with, whatever its form.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Uuid(Uuid),
    Foreign(Arc<str>),
}

impl EventId {
    /// The id as a UUID, if it is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match &self.0 {
            Repr::Uuid(uuid) => Some(*uuid),
            Repr::Foreign(_) => None,
        }
    }

    /// The id as a text, if it is no UUID.
    pub(super) fn as_foreign(&self) -> Option<&Arc<str>> {
        match &self.0 {
            Repr::Uuid(_) => None,
            Repr::Foreign(text) => Some(text),
        }
    }
}

impl From<Uuid> for EventId {
    #[inline]
    fn from(uuid: Uuid) -> Self {
        Self(Repr::Uuid(uuid))
    }
}

impl From<Arc<str>> for EventId {
    fn from(foreign: Arc<str>) -> Self {
        Self(Repr::Foreign(foreign))
    }
}

/// A UUID of version 7 (RFC 9562 §5.7) for an event published at that time; 74 of the `random` bits go into it.
#[inline]
pub(super) fn uuid_v7(time: SystemTime, random: [u64; 2]) -> Uuid {
    const VERSION: u64 = 7 << 12;
    const VARIANT: u64 = 0b10 << 62;
    let high = Millisecond::number_of(time) << 16 | VERSION | random[0] & 0x0fff;
    Uuid::from_u64_pair(high, VARIANT | random[1] >> 2)
}

/// A millisecond, with its number since the start of 1970 (UTC).
#[derive(Clone, Copy)]
struct Millisecond {
    start: SystemTime,
    end: SystemTime,
    number: u64,
}

thread_local! {
    static LATEST: Cell<Millisecond> =
        const { Cell::new(Millisecond { start: UNIX_EPOCH, end: UNIX_EPOCH, number: 0 }) };
}

impl Millisecond {
    /// The number of the millisecond of a time: mostly the one that was asked for last. To work it out takes longer
    /// than to read the clock.
    #[inline]
    fn number_of(time: SystemTime) -> u64 {
        let latest = LATEST.get();
        let is_in_it = latest.start <= time && time < latest.end;
        if is_in_it { latest.number } else { Self::work_out(time) }
    }

    #[cold]
    fn work_out(time: SystemTime) -> u64 {
        // A clock before 1970 gives ids that do not sort; they are unique all the same.
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let number = since_epoch.as_secs() * 1_000 + u64::from(since_epoch.subsec_millis());
        let start = UNIX_EPOCH + Duration::from_millis(number);
        LATEST.set(Self { start, end: start + Duration::from_millis(1), number });
        number
    }
}

/// Takes an id as it came; one in the usual form of a UUID is kept as such.
impl From<&str> for EventId {
    fn from(text: &str) -> Self {
        // The nil UUID says that there is none. Only the hyphenated lower-case form prints as it was read; any other
        // has to be kept to the letter.
        let canonical = |text: &str| {
            let no_upper_case = |none, byte: u8| none & !byte.is_ascii_uppercase();
            text.len() == 36 && text.bytes().fold(true, no_upper_case)
        };
        match canonical(text).then(|| Uuid::try_parse(text)) {
            Some(Ok(uuid)) if !uuid.is_nil() => Self(Repr::Uuid(uuid)),
            _ => Self(Repr::Foreign(text.into())),
        }
    }
}

/// Takes any text, as `From<&str>` does.
impl FromStr for EventId {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

/// As its text.
impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Uuid(uuid) => fmt::Display::fmt(uuid, f),
            Repr::Foreign(text) => f.pad(text),
        }
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::random, *};

    fn id_at(millis: u64) -> EventId {
        uuid_v7(UNIX_EPOCH + Duration::from_millis(millis), random::words()).into()
    }

    #[test]
    fn ids_and_names_are_read_from_texts_and_written_as_such() {
        for text in ["0191c2a0-7e5f-7d7a-8b1c-2f6a4f0d9e11", "order \"7\""] {
            let id: EventId = text.parse().unwrap();
            assert_eq!(serde_json::to_value(&id).unwrap(), text);
        }
        let name: super::super::EventName = "order.created".parse().unwrap();
        assert_eq!(serde_json::to_value(&name).unwrap(), "order.created");
        assert!("order..created".parse::<super::super::EventName>().is_err());
    }

    #[test]
    fn ids_are_version_7_and_unique_and_sort_by_time() {
        let ids: Vec<_> = (0..10_000).map(id_at).collect();
        let millis = |id: &EventId| id.as_uuid().unwrap().as_u64_pair().0 >> 16;
        assert!(ids.iter().map(millis).eq(0..10_000));
        assert!(ids.iter().all(|id| id.as_uuid().unwrap().get_version_num() == 7));
        assert!(ids.is_sorted());
        let at_once: HashSet<_> = (0..10_000).map(|_| id_at(0)).collect();
        assert_eq!(at_once.len(), 10_000);
    }

    #[test]
    fn an_id_prints_as_it_was_read() {
        for text in [
            "01890a5d-ac96-774b-bcce-b302099a8057",
            "01890A5D-AC96-774B-BCCE-B302099A8057",
            "01890a5dac96774bbcceb302099a8057",
            "{01890a5d-ac96-774b-bcce-b302099a80}",
            "00000000-0000-0000-0000-000000000000",
            "order/17",
            "é",
        ] {
            assert_eq!(EventId::from(text).to_string(), text);
        }
    }
}
