//! The envelope that was decoded last.
//!
//! A message that several subscriptions select, a channel and globs, comes once by each of them, in a row. It is
//! decoded once all the same.

use crate::envelope::Envelope;

/// The latest message, and by which globs it has come.
#[derive(Default)]
pub(super) struct Memo {
    latest: Option<Latest>,
}

struct Latest {
    message: Vec<u8>,
    envelope: Envelope,
    globs: Vec<Box<[u8]>>,
}

impl Memo {
    pub(super) fn remember(&mut self, message: Vec<u8>, envelope: Envelope) {
        self.latest = Some(Latest { message, envelope, globs: Vec::new() });
    }

    /// Takes note that the latest message came by this glob.
    pub(super) fn is_known_to(&mut self, glob: &[u8]) {
        self.latest.iter_mut().for_each(|latest| latest.globs.push(glob.into()));
    }

    /// The envelope, if the message is the latest and comes by this glob for the first time. By one glob, equal
    /// messages are several publications.
    pub(super) fn recall(&mut self, glob: &[u8], message: &[u8]) -> Option<Envelope> {
        let latest = self.latest.as_mut().filter(|latest| latest.message == message)?;
        if latest.globs.iter().any(|known| **known == *glob) {
            return None;
        }
        latest.globs.push(glob.into());
        Some(latest.envelope.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{EventName, Metadata, Payload};

    fn envelope() -> Envelope {
        let metadata = Metadata::new(EventName::from_static("a"), 1, "/", None);
        Envelope::new(metadata, Payload::Json(b"{}".as_slice().into()))
    }

    #[test]
    fn a_message_is_known_to_each_further_glob_once() {
        let (mut memo, envelope) = (Memo::default(), envelope());
        assert!(memo.recall(b"a*", b"{}").is_none());
        memo.remember(b"{}".to_vec(), envelope.clone());
        memo.is_known_to(b"a*");
        let recalled = memo.recall(b"*", b"{}").unwrap();
        assert_eq!(recalled.metadata().id(), envelope.metadata().id());
        assert!(memo.recall(b"*", b"{}").is_none(), "by one glob, it is another publication");
        assert!(memo.recall(b"a*", b"{}").is_none());
        assert!(memo.recall(b"?", b"{ }").is_none(), "it is another message");
    }
}
