//! Waiting on the broker: delayed events, and retries after more than a second.
//!
//! A message waits in queues with fixed times to live, one for each [`Level`]. A queue hands on from its head alone, so
//! all that is in one waits for the same time. What has waited goes to one queue, from which any process of the bus takes
//! it (see [`forwarder`](super::forwarder)): it is forwarded when its time has come, else it waits in a shorter level for
//! the rest. The levels serve all services and subscribers on the exchange, so their number is fixed.
//!
//! | header | |
//! |---|---|
//! | `aury-due` | when it is due, in milliseconds since the start of 1970, UTC, by the clock of who sent it |
//! | `aury-exchange`, `aury-key` | where it goes then: the exchange of the bus with its event's name, or the default exchange with the name of a subscriber's queue |
//! | `aury-unroutable` | of an event: what to do when it has no route then |
//! | `aury-refused` | how often the broker has refused it there |

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lapin::{
    message::Delivery,
    types::{AMQPValue, ShortString},
};

use super::{
    message::{Message, number, text},
    names::Names,
    topology::Needed,
};
use crate::config::Unroutable;

/// The longest wait: a leap year.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How much later than asked a message may be handed on, if that spares it one more level.
const SLACK: Duration = Duration::from_millis(250);

const DUE: &str = "aury-due";
const EXCHANGE: &str = "aury-exchange";
const KEY: &str = "aury-key";
const UNROUTABLE: &str = "aury-unroutable";
const REFUSED: &str = "aury-refused";

/// The times for which messages wait, in milliseconds, and the names of their queues. People choose such times, so that
/// most messages wait in one level alone.
const LEVELS: [(u32, &str); 27] = [
    (250, "250ms"),
    (500, "500ms"),
    (1_000, "1s"),
    (2_000, "2s"),
    (3_000, "3s"),
    (5_000, "5s"),
    (10_000, "10s"),
    (15_000, "15s"),
    (30_000, "30s"),
    (60_000, "1m"),
    (2 * 60_000, "2m"),
    (3 * 60_000, "3m"),
    (5 * 60_000, "5m"),
    (10 * 60_000, "10m"),
    (15 * 60_000, "15m"),
    (30 * 60_000, "30m"),
    (3_600_000, "1h"),
    (2 * 3_600_000, "2h"),
    (3 * 3_600_000, "3h"),
    (6 * 3_600_000, "6h"),
    (12 * 3_600_000, "12h"),
    (86_400_000, "1d"),
    (2 * 86_400_000, "2d"),
    (4 * 86_400_000, "4d"),
    (7 * 86_400_000, "7d"),
    (14 * 86_400_000, "14d"),
    (28 * 86_400_000, "28d"),
];

/// A time for which messages wait in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Level(u8);

impl Level {
    /// The longest one that is no longer than what is left of a wait, or not by much.
    fn within(left: Duration) -> Self {
        let limit = (left + SLACK).as_millis();
        let fitting = LEVELS.iter().rposition(|&(millis, _)| u128::from(millis) <= limit);
        Self(fitting.unwrap_or(0) as u8)
    }

    pub(super) fn millis(self) -> u32 {
        LEVELS[usize::from(self.0)].0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LEVELS[usize::from(self.0)].1)
    }
}

/// What a message says of its wait.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    due: SystemTime,
    exchange: ShortString,
    key: ShortString,
    pub(super) unroutable: Unroutable,
    /// How often the broker has refused to take it where it goes.
    pub(super) refused: u32,
}

impl Wait {
    /// Reads it. `None` if the message says none that makes sense on the bus: somebody else has put it there.
    pub(super) fn of(delivery: &Delivery, names: &Names) -> Option<Self> {
        let headers = delivery.properties.headers().as_ref()?;
        let millis = u64::try_from(number(headers, DUE)?).ok()?;
        let due = UNIX_EPOCH.checked_add(Duration::from_millis(millis))?;
        if due.duration_since(SystemTime::now()).is_ok_and(|left| left > LONGEST_WAIT) {
            return None;
        }
        let exchange = ShortString::try_new(text(headers, EXCHANGE)?).ok()?;
        let key = ShortString::try_new(text(headers, KEY)?).ok()?;
        let unroutable = text(headers, UNROUTABLE).and_then(|it| it.parse().ok());
        let refused = number(headers, REFUSED).and_then(|it| u32::try_from(it).ok());
        let wait = Self {
            due,
            exchange,
            key,
            unroutable: unroutable.unwrap_or_default(),
            refused: refused.unwrap_or(0),
        };
        let is_ours = if wait.is_event() {
            wait.exchange == names.exchange
        } else {
            names.subscriber_of(wait.key.as_str()).is_some()
        };
        is_ours.then_some(wait)
    }

    /// Whether it is a delayed event, and not a retry.
    pub(super) fn is_event(&self) -> bool {
        !self.exchange.as_str().is_empty()
    }

    /// The name of the event, or of the queue, that it goes to.
    pub(super) fn key(&self) -> &ShortString {
        &self.key
    }

    /// How long it has to wait yet. `None` when it is due.
    pub(super) fn left(&self) -> Option<Duration> {
        self.due.duration_since(SystemTime::now()).ok().filter(|left| !left.is_zero())
    }

    /// The message as it goes where it is due.
    pub(super) fn over(&self, delivery: &Delivery) -> Message {
        let mut message =
            Message::received(delivery).without_headers(&[DUE, EXCHANGE, KEY, UNROUTABLE, REFUSED]);
        (message.exchange, message.routing_key) = (self.exchange.clone(), self.key.clone());
        message
    }

    /// The message as it waits for so long.
    pub(super) fn again(&self, delivery: &Delivery, left: Duration, names: &Names) -> Message {
        Message::received(delivery)
            .with_headers([(REFUSED, AMQPValue::LongLongInt(self.refused.into()))])
            .in_level(left, names)
    }
}

impl Message {
    /// Has it wait before it goes where it is addressed: to the exchange of the bus, or to a subscriber's queue.
    ///
    /// A wait of more than [`LONGEST_WAIT`] is cut to that.
    #[must_use]
    pub(super) fn after(self, wait: Duration, unroutable: Unroutable, names: &Names) -> Self {
        let wait = wait.min(LONGEST_WAIT);
        // Rounded up: never early.
        let due = (SystemTime::now() + wait).duration_since(UNIX_EPOCH).unwrap_or_default();
        let due = due.as_micros().div_ceil(1_000) as i64;
        let text = |text: &str| AMQPValue::LongString(text.into());
        let headers = [
            (DUE, AMQPValue::LongLongInt(due)),
            (EXCHANGE, text(self.exchange.as_str())),
            (KEY, text(self.routing_key.as_str())),
            (UNROUTABLE, text(unroutable.as_str())),
        ];
        self.with_headers(headers).in_level(wait, names)
    }

    fn in_level(mut self, left: Duration, names: &Names) -> Self {
        let level = Level::within(left);
        self.needs = Some(Needed::Waiting(level));
        self.for_queue(&names.waiting(level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_at_most_two_and_a_half_times_the_one_before() {
        for pair in LEVELS.windows(2) {
            let ((shorter, _), (longer, _)) = (pair[0], pair[1]);
            assert!(shorter < longer && longer / 5 <= shorter / 2, "{shorter} {longer}");
        }
    }

    #[test]
    fn any_wait_up_to_a_year_takes_few_levels_and_ends_late_by_less_than_the_slack() {
        let mut wait = Duration::from_millis(1);
        while wait <= LONGEST_WAIT {
            let (mut waited, mut hops) = (Duration::ZERO, 0);
            while waited < wait {
                waited += Duration::from_millis(Level::within(wait - waited).millis().into());
                hops += 1;
            }
            assert!(waited - wait <= SLACK, "{wait:?}: {waited:?}");
            assert!(hops <= 13 + 18, "{wait:?}: {hops} levels");
            wait += wait / 7 + Duration::from_millis(1);
        }
    }

    #[test]
    fn what_people_choose_is_one_level() {
        for (wait, name) in
            [("2s", 2), ("5s", 5), ("30s", 30), ("1m", 60), ("5m", 300), ("1h", 3600)]
        {
            // Some of it has passed when it is asked.
            let level = Level::within(Duration::from_millis(name * 1_000 - 1));
            assert_eq!(level.to_string(), wait);
        }
    }
}
