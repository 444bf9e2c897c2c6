//! Event ids: UUIDs of our own making, any string from elsewhere.

use std::{fmt, sync::Arc, time::Duration};

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

/// A UUID of version 7 (RFC 9562 §5.7) for an event published `since_epoch` after the start of 1970 (UTC); 74 of the
/// `random` bits go into it.
#[inline]
pub(super) fn uuid_v7(since_epoch: Duration, random: [u64; 2]) -> Uuid {
    const VERSION: u64 = 7 << 12;
    const VARIANT: u64 = 0b10 << 62;
    let millis = since_epoch.as_secs() * 1_000 + u64::from(since_epoch.subsec_millis());
    let high = millis << 16 | VERSION | random[0] & 0x0fff;
    Uuid::from_u64_pair(high, VARIANT | random[1] >> 2)
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
        uuid_v7(Duration::from_millis(millis), random::words()).into()
    }

    #[test]
    fn ids_are_version_7_and_unique_and_sort_by_time() {
        let ids: Vec<_> = (0..10_000).map(id_at).collect();
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
