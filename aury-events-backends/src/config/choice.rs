//! Settings that are one of a few words.

use std::{error::Error, fmt, str::FromStr};

/// Declares an enum together with the word that each variant is written as.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// The word it is written as.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidChoice;

            fn from_str(word: &str) -> Result<Self, InvalidChoice> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(InvalidChoice { valid: &[$($word),+] }),
                }
            }
        }
    };
}

choice! {
    /// How RabbitMQ's exchange finds the queues of an event.
    pub enum ExchangeType {
        /// By matching the event's name against each queue's pattern (`topic`).
        #[default]
        Topic = "topic",
        /// By comparing the event's name with each queue's (`direct`): no patterns.
        Direct = "direct",
        /// Not at all (`fanout`): every queue gets every event.
        Fanout = "fanout",
    }
}

choice! {
    /// Which kind of queue RabbitMQ keeps a subscriber's events in.
    pub enum QueueType {
        /// Replicated, and safe when a node fails (`quorum`).
        #[default]
        Quorum = "quorum",
        /// On one node (`classic`): for a single broker, or for queues that exist already.
        Classic = "classic",
    }
}

choice! {
    /// What happens when an event is published that no queue on RabbitMQ is bound for: nobody has ever subscribed to it,
    /// or the queues are gone.
    pub enum Unroutable {
        /// Nothing (`ignore`).
        Ignore = "ignore",
        /// It is logged, once for each event name (`warn`).
        #[default]
        Warn = "warn",
        /// The publish fails (`error`).
        Error = "error",
    }
}

choice! {
    /// How an envelope is written to a broker. Every form is understood on receipt, whichever is chosen here.
    pub enum Format {
        /// CloudEvents 1.0 in JSON, structured mode (`cloudevents`).
        #[default]
        CloudEvents = "cloudevents",
        /// The envelope of aury-boot (`aury`), for a bus shared with services in Python.
        Aury = "aury",
    }
}

/// A word that is none of those a setting can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidChoice {
    valid: &'static [&'static str],
}

impl fmt::Display for InvalidChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected ")?;
        for (index, word) in self.valid.iter().enumerate() {
            let separator = match index {
                0 => "",
                _ if index + 1 == self.valid.len() => " or ",
                _ => ", ",
            };
            write!(f, "{separator}`{word}`")?;
        }
        Ok(())
    }
}

impl Error for InvalidChoice {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for exchange in [ExchangeType::Topic, ExchangeType::Direct, ExchangeType::Fanout] {
            assert_eq!(exchange.to_string().parse(), Ok(exchange));
        }
        for queue in [QueueType::Quorum, QueueType::Classic] {
            assert_eq!(queue.to_string().parse(), Ok(queue));
        }
        for format in [Format::CloudEvents, Format::Aury] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
    }

    #[test]
    fn another_word_is_refused_with_those_that_are_valid() {
        let error = "topics".parse::<ExchangeType>().unwrap_err();
        assert_eq!(error.to_string(), "expected `topic`, `direct` or `fanout`");
        let error = "Quorum".parse::<QueueType>().unwrap_err();
        assert_eq!(error.to_string(), "expected `quorum` or `classic`");
    }
}
