//! What the broker refuses by closing the channel, and which message it was.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
    types::ShortString,
};

use super::{super::declare::said, Message};
use crate::{error::BackendError, kit::lock};

/// How many names of events are remembered as taken.
const REMEMBERED: usize = 4096;

/// Why the broker has closed a channel or a connection.
#[derive(Debug)]
pub(super) enum Closed {
    /// It has refused a message that was published by the channel.
    Refused(Refusal),
    /// It has found a message wrong, on one of the connection's channels.
    Wrong(String),
    /// No message is to blame.
    Lost(String),
}

/// What the broker has refused, in its own words.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    kind: AMQPSoftError,
    said: String,
}

impl Closed {
    /// Reads what those have told whose messages were under way.
    pub(super) fn by(errors: &[lapin::Error]) -> Self {
        let protocol = errors.iter().find_map(|error| match error.kind() {
            ErrorKind::ProtocolError(protocol) => Some((protocol.kind(), said(error))),
            _ => None,
        });
        match protocol {
            Some((AMQPErrorKind::Soft(kind), said)) => {
                Self::Refused(Refusal { kind: kind.clone(), said })
            }
            // It goes down, or somebody has closed the connection.
            Some((AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED), said)) => Self::Lost(said),
            Some((AMQPErrorKind::Hard(_), said)) => Self::Wrong(said),
            None => Self::Lost(errors.first().map_or_else(String::new, ToString::to_string)),
        }
    }
}

impl Refusal {
    /// Whether it refused for want of something that we can declare.
    pub(super) fn is_missing(&self) -> bool {
        self.kind == AMQPSoftError::NOTFOUND
    }

    /// The error of the message that it was.
    pub(super) fn error(&self, message: &Message) -> BackendError {
        if self.size_limit().is_some() {
            let Message { body, .. } = message;
            let what =
                format!("RabbitMQ does not take {} with its {} bytes", message.name(), body.len());
            return BackendError::too_large(what, &*self.said);
        }
        BackendError::refused(format!("RabbitMQ refused {}", message.name()), &*self.said)
    }

    /// How large messages may be, if this one was larger.
    fn size_limit(&self) -> Option<usize> {
        if self.kind != AMQPSoftError::PRECONDITIONFAILED {
            return None;
        }
        let (_, limit) = self.said.rsplit_once("max size ")?;
        let digits = limit.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }

    /// Whether it says of exactly such a message that it was refused. `None` when it cannot be told.
    fn is_about(&self, message: &Message) -> Option<bool> {
        if let Some(limit) = self.size_limit() {
            return Some(message.body.len() > limit);
        }
        let quoted = |text: &ShortString| {
            let text = if text.as_str().is_empty() { "amq.default" } else { text.as_str() };
            self.said.contains(&format!("'{text}'"))
        };
        if self.is_topic() {
            return Some(quoted(&message.exchange) && quoted(&message.routing_key));
        }
        let is_exchange = self.said.contains("exchange '");
        is_exchange.then(|| quoted(&message.exchange) || self.said.contains("default exchange"))
    }

    /// Whether the right is missing to publish that name to an exchange, where others may be published.
    fn is_topic(&self) -> bool {
        self.kind == AMQPSoftError::ACCESSREFUSED && self.said.contains("topic '")
    }
}

/// What is known of refusals, so that a message like one that was refused disturbs no other.
///
/// Only a message that goes alone shows that such messages are taken again; until then they all go alone.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    is_any: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The exchanges to which nothing may be published.
    exchanges: HashSet<ShortString>,
    /// How large messages may be.
    size: Option<usize>,
    /// The names that may be published, since there are some that may not.
    taken: Option<HashSet<ShortString>>,
}

impl Known {
    fn is_suspect(&self, message: &Message) -> bool {
        self.exchanges.contains(&message.exchange)
            || self.size.is_some_and(|limit| message.body.len() > limit)
            || self.taken.as_ref().is_some_and(|taken| {
                !message.exchange.as_str().is_empty() && !taken.contains(&message.routing_key)
            })
    }

    fn take(&mut self, message: &Message) {
        if let Some(taken) = &mut self.taken
            && !message.exchange.as_str().is_empty()
        {
            if taken.len() >= REMEMBERED {
                taken.clear();
            }
            taken.insert(message.routing_key.clone());
        }
    }
}

impl Refusals {
    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// Whether such a message may be refused, so that it had better go alone.
    pub(super) fn is_suspect(&self, message: &Message) -> bool {
        self.is_any.load(SeqCst) && self.known().is_suspect(message)
    }

    /// Finds the culprits among messages that were under way in that order, and learns from them. `None` when it could
    /// have been any of them.
    pub(super) fn culprits<'a>(
        &self,
        refusal: &Refusal,
        messages: impl Iterator<Item = &'a Message> + Clone,
    ) -> Option<Vec<bool>> {
        let about: Option<Vec<bool>> =
            messages.clone().map(|message| refusal.is_about(message)).collect();
        let about = about?;
        let first = about.iter().position(|is_it| *is_it)?;
        self.learn(refusal, messages.clone().nth(first)?);
        // The broker takes them in order.
        let mut known = self.known();
        messages.take(first).for_each(|message| known.take(message));
        Some(about)
    }

    /// Learns from a message that went alone and was refused.
    pub(super) fn learn(&self, refusal: &Refusal, message: &Message) {
        let mut known = self.known();
        if let Some(limit) = refusal.size_limit() {
            known.size = Some(limit);
        } else if refusal.is_topic() {
            known.taken.get_or_insert_default().remove(&message.routing_key);
        } else if refusal.kind == AMQPSoftError::ACCESSREFUSED {
            known.exchanges.insert(message.exchange.clone());
        } else {
            return;
        }
        drop(known);
        self.is_any.store(true, SeqCst);
    }

    /// Learns that a message was taken that went alone: such ones may go with others again.
    pub(super) fn note_taken(&self, message: &Message) {
        if !self.is_any.load(SeqCst) {
            return;
        }
        let mut known = self.known();
        known.exchanges.remove(&message.exchange);
        if known.size.is_some_and(|limit| message.body.len() > limit) {
            known.size = None;
        }
        known.take(message);
    }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;

    use super::*;

    fn message(exchange: &str, key: &str, bytes: usize) -> Message {
        Message {
            exchange: exchange.into(),
            routing_key: key.into(),
            properties: BasicProperties::default(),
            body: vec![0; bytes],
            needs: None,
        }
    }

    fn refusal(kind: AMQPSoftError, said: &str) -> Refusal {
        Refusal { kind, said: said.to_owned() }
    }

    fn no_topic() -> Refusal {
        let said = "ACCESS_REFUSED - access to topic 'admin.created' in exchange 'shop' in vhost '/' refused for user 'u'";
        refusal(AMQPSoftError::ACCESSREFUSED, said)
    }

    #[test]
    fn the_culprit_is_the_one_whose_name_was_refused() {
        let refusals = Refusals::default();
        let sent = [
            message("shop", "order.created", 1),
            message("shop", "admin.created", 1),
            message("shop", "order.placed", 1),
        ];
        let culprits = refusals.culprits(&no_topic(), sent.iter());
        assert_eq!(culprits, Some(vec![false, true, false]));
        // The first was taken before; the third may be refused likewise.
        let is_suspect = sent.iter().map(|message| refusals.is_suspect(message));
        assert!(is_suspect.eq([false, true, true]));
        refusals.note_taken(&sent[2]);
        assert!(!refusals.is_suspect(&sent[2]));
        assert!(no_topic().error(&sent[1]).is_refused());
    }

    #[test]
    fn the_culprit_is_the_one_that_is_too_large() {
        let said =
            "PRECONDITION_FAILED - message size 2000123 larger than configured max size 1000000";
        let refusal = refusal(AMQPSoftError::PRECONDITIONFAILED, said);
        let refusals = Refusals::default();
        let sent = [message("shop", "a", 1_000_000), message("", "a", 1_000_001)];
        assert_eq!(refusals.culprits(&refusal, sent.iter()), Some(vec![false, true]));
        assert!(refusals.is_suspect(&sent[1]) && !refusals.is_suspect(&sent[0]));
        assert!(refusal.error(&sent[1]).is_too_large());
        refusals.note_taken(&sent[1]);
        assert!(!refusals.is_suspect(&sent[1]));
    }

    #[test]
    fn an_exchange_that_may_not_be_written_to_refuses_all_that_goes_there() {
        let said = "ACCESS_REFUSED - access to exchange 'shop' in vhost '/' refused for user 'u'";
        let refusals = Refusals::default();
        let sent = [message("shop", "a", 1), message("", "a", 1), message("shop", "b", 1)];
        let refusal = refusal(AMQPSoftError::ACCESSREFUSED, said);
        assert_eq!(refusals.culprits(&refusal, sent.iter()), Some(vec![true, false, true]));
        assert!(refusals.is_suspect(&sent[2]) && !refusals.is_suspect(&sent[1]));
    }

    #[test]
    fn words_that_name_nothing_could_mean_any_of_them() {
        let refusals = Refusals::default();
        let refusal = refusal(
            AMQPSoftError::PRECONDITIONFAILED,
            "PRECONDITION_FAILED - user_id property set to 'x'",
        );
        assert_eq!(refusals.culprits(&refusal, [message("shop", "a", 1)].iter()), None);
    }
}
