//! What things are called on the broker.
//!
//! Every queue's name begins with the exchange of its bus, so that two buses, such as those of production and of a
//! trial, share nothing. `/` separates the parts: neither a service nor a subscriber holds one, and that of an exchange
//! is encoded. So no two things have one name.

use lapin::types::ShortString;
use uuid::Uuid;

use super::{delays::Level, settings::EXCHANGE_NAME};
use crate::{config::BackendConfig, error::BackendError, kit::subscriber_name};

/// The names of one bus's exchange and queues.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The exchange that events are published to.
    pub(super) exchange: ShortString,
    /// The exchange as the names of queues hold it.
    encoded: String,
}

impl Names {
    /// # Errors
    ///
    /// When the exchange's name is longer than AMQP allows.
    pub(super) fn new(config: &BackendConfig) -> Result<Self, BackendError> {
        let exchange = &config.get(&EXCHANGE_NAME);
        let encoded = exchange.replace('%', "%25").replace('/', "%2F");
        let names = Self { exchange: short(exchange)?, encoded };
        // The longest of those that the bus makes by itself.
        short(names.stranded_text())?;
        Ok(names)
    }

    /// The queues that the processes of a service share for a subscriber.
    ///
    /// # Errors
    ///
    /// When a name is longer than AMQP allows.
    pub(super) fn queues(&self, service: &str, subscriber: &str) -> Result<Queues, BackendError> {
        Queues::beside(format!("{}/{}", self.encoded, subscriber_name(service, subscriber)))
    }

    /// The subscriber whose queue that is on this bus, with all its queues.
    pub(super) fn subscriber_of(&self, queue: &str) -> Option<(String, Queues)> {
        let rest = queue.strip_prefix(&*self.encoded)?.strip_prefix('/')?;
        let (_, subscriber) = rest.split_once('/')?;
        if subscriber.is_empty() || subscriber.contains('/') {
            return None;
        }
        Some((subscriber.to_owned(), Queues::beside(queue.to_owned()).ok()?))
    }

    /// The queue by which a process shows that it lives.
    pub(super) fn life(&self, process: Uuid) -> Result<ShortString, BackendError> {
        short(format!("{}/life:{}", self.encoded, process.simple()))
    }

    /// A queue in which messages wait for the time of its level.
    pub(super) fn waiting(&self, level: Level) -> ShortString {
        self.made(format!("{}/delay:{level}", self.encoded))
    }

    /// The queue of what has waited in one of those, to be forwarded, or to wait for the rest of its time.
    pub(super) fn waited(&self) -> ShortString {
        self.made(format!("{}/delay:waited", self.encoded))
    }

    /// The queue of what has waited and cannot be forwarded, for somebody to look at.
    pub(super) fn stranded(&self) -> ShortString {
        self.made(self.stranded_text())
    }

    fn stranded_text(&self) -> String {
        format!("{}/delay:stranded", self.encoded)
    }

    /// A name that is no longer than the one that [`new`](Self::new) has checked.
    fn made(&self, name: String) -> ShortString {
        ShortString::from(name)
    }
}

/// A subscriber's queues.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    pub(super) queue: ShortString,
    pub(super) dead: ShortString,
    /// Of what was delivered to a process that died.
    pub(super) suspects: ShortString,
    /// Of the marks of who has begun one of them.
    pub(super) marks: ShortString,
}

impl Queues {
    fn beside(queue: String) -> Result<Self, BackendError> {
        Ok(Self {
            dead: short(format!("{queue}/dead"))?,
            suspects: short(format!("{queue}/suspects"))?,
            marks: short(format!("{queue}/marks"))?,
            queue: short(queue)?,
        })
    }

    /// A queue for this process alone. The name is made here: one that the broker makes could not be declared again.
    pub(super) fn of_this_process(&self) -> Result<ShortString, BackendError> {
        short(format!("{}/process-{}", self.queue, Uuid::new_v4().simple()))
    }
}

/// A name as AMQP 0-9-1 takes it: at most 255 bytes.
pub(super) fn short(name: impl Into<String>) -> Result<ShortString, BackendError> {
    let name = name.into();
    match ShortString::try_new(&*name) {
        Ok(name) => Ok(name),
        Err(error) => Err(BackendError::other(format!("use {name} as a name on RabbitMQ"), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(exchange: &str) -> Names {
        let mut config = BackendConfig::default();
        config.set(&EXCHANGE_NAME, exchange).unwrap();
        Names::new(&config).unwrap()
    }

    fn queue(exchange: &str, service: &str, subscriber: &str) -> String {
        names(exchange).queues(service, subscriber).unwrap().queue.to_string()
    }

    #[test]
    fn queues_are_named_after_exchange_service_and_subscriber() {
        let queues = names("aury.events").queues("shop", "mail::send").unwrap();
        assert_eq!(queues.queue.as_str(), "aury.events/shop/mail::send");
        assert_eq!(queues.dead.as_str(), "aury.events/shop/mail::send/dead");
    }

    #[test]
    fn no_two_things_have_one_name() {
        assert_ne!(queue("x", "a", "b.mail"), queue("x", "a.b", "mail"));
        assert_ne!(queue("x/a", "b", "mail"), queue("x", "a", "b/mail"));
        assert_ne!(queue("x%2Fa", "b", "mail"), queue("x/a", "b", "mail"));
        let dead = names("x").queues("a", "mail").unwrap().dead;
        assert_ne!(queue("x", "a", "mail.dead"), dead.as_str());
        let own = names("x").queues("a", "mail").unwrap().of_this_process().unwrap();
        assert!(names("x").subscriber_of(own.as_str()).is_none());
        assert!(names("x").subscriber_of(dead.as_str()).is_none());
        assert!(names("x").subscriber_of(names("x").waited().as_str()).is_none());
    }

    #[test]
    fn a_queue_tells_whose_it_is() {
        let (subscriber, queues) = names("x/y").subscriber_of("x%2Fy/shop/mail::send").unwrap();
        assert_eq!(subscriber, "mail::send");
        assert_eq!(queues.dead.as_str(), "x%2Fy/shop/mail::send/dead");
        for foreign in ["", "orders", "x/shop/mail", "x%2Fy/shop", "x%2Fy/shop/", "x%2Fyshop/mail"]
        {
            assert!(names("x/y").subscriber_of(foreign).is_none(), "{foreign}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_named() {
        let error = names("aury.events").queues("shop", &"x".repeat(250)).unwrap_err();
        assert!(error.to_string().contains("shop/xxx"), "{error}");
    }
}
