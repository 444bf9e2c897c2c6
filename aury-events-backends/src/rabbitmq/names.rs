//! What things are called on the broker.

use lapin::types::ShortString;
use uuid::Uuid;

use super::settings::EXCHANGE_NAME;
use crate::{
    config::{AnySetting, BackendConfig},
    error::BackendError,
};

/// The names of one bus's exchanges and queues.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The exchange that events are published to.
    pub(super) exchange: ShortString,
    /// The exchange that leads to the queues in which messages wait.
    pub(super) waiting: ShortString,
    /// What the names of queues begin with. A bus with an exchange of its own has queues of its own, so that two of
    /// them, such as those of production and of a trial, do not share their events.
    prefix: String,
}

impl Names {
    /// # Errors
    ///
    /// When the exchange's name is longer than AMQP allows.
    pub(super) fn new(config: &BackendConfig) -> Result<Self, BackendError> {
        let exchange = &config.get(&EXCHANGE_NAME);
        let is_default = exchange == EXCHANGE_NAME.default_text();
        Ok(Self {
            waiting: short(format!("{exchange}.waiting"))?,
            exchange: short(exchange)?,
            prefix: if is_default { String::new() } else { format!("{exchange}:") },
        })
    }

    /// The queue that the processes of a service share for a subscriber, and its queue of dead letters.
    ///
    /// # Errors
    ///
    /// When a name is longer than AMQP allows.
    pub(super) fn queues(&self, service: &str, subscriber: &str) -> Result<Queues, BackendError> {
        let queue = format!("{}{service}.{subscriber}", self.prefix);
        let dead = short(format!("{queue}.dead"))?;
        Ok(Queues { queue: short(queue)?, dead })
    }

    /// The queue in which a message waits for so many milliseconds before it goes where `then` says.
    pub(super) fn waiting_queue(
        &self,
        then: Then,
        millis: u32,
    ) -> Result<ShortString, BackendError> {
        short(format!("{}.{}.{millis}ms", self.exchange, then.word()))
    }
}

/// A subscriber's queues.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    pub(super) queue: ShortString,
    pub(super) dead: ShortString,
}

impl Queues {
    /// A queue for this process alone. The name is made here: one that the broker makes could not be declared again.
    pub(super) fn of_this_process(&self) -> Result<ShortString, BackendError> {
        short(format!("{}.{}", self.queue, Uuid::new_v4().simple()))
    }
}

/// Where a message goes that has waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Then {
    /// To the queue that its routing key names.
    ToQueue,
    /// To the exchange of the bus, as if it were published then.
    ToExchange,
}

impl Then {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::ToQueue => "retry",
            Self::ToExchange => "delayed",
        }
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

    #[test]
    fn queues_are_named_after_service_and_subscriber() {
        let queues = names("aury.events").queues("shop", "mail::send").unwrap();
        assert_eq!(queues.queue.as_str(), "shop.mail::send");
        assert_eq!(queues.dead.as_str(), "shop.mail::send.dead");
    }

    #[test]
    fn a_bus_with_an_exchange_of_its_own_has_queues_of_its_own() {
        let names = names("trial");
        assert_eq!(names.queues("shop", "mail").unwrap().queue.as_str(), "trial:shop.mail");
        let waiting = names.waiting_queue(Then::ToQueue, 2_000).unwrap();
        assert_eq!(waiting.as_str(), "trial.retry.2000ms");
    }

    #[test]
    fn a_name_that_is_too_long_is_named() {
        let error = names("aury.events").queues("shop", &"x".repeat(250)).unwrap_err();
        assert!(error.to_string().contains("shop.xxx"), "{error}");
    }
}
