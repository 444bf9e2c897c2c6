//! Envelopes as AMQP messages, and back.
//!
//! An event is published in the format of its bus, with the properties `content-type`, `message-id`, `timestamp`,
//! `type` (its name) and `app-id` (the service). What a message says beside the event stands in headers:
//!
//! | header | of | |
//! |---|---|---|
//! | `aury-attempt` | a retry | the number of the attempt that its delivery is |
//! | `aury-copy` | a retry, a dead letter, a replay | a number by which copies of one event are told apart |
//! | `aury-suspect` | a suspect | the number by which its marks are found (see [`suspects`](super::suspects)) |
//! | `aury-routing-key` | all of these | how it was routed at first |
//! | `aury-subscriber`, `aury-reason`, `aury-attempts`, `aury-time` | a dead letter | who could not handle it, why (cut to 4 KiB), after how many attempts, and when (milliseconds since the start of 1970, UTC) |
//!
//! Anybody can write such headers. They are believed only of a message that came straight into its queue, as ours do;
//! of one that came by an exchange they are passed over.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};
use uuid::Uuid;

use super::topology::Needed;
use crate::{
    config::BackendConfig,
    envelope::{
        Envelope, Metadata,
        wire::{AttributeValue, Codec, Hint, WireError},
    },
    error::BackendError,
    reason::shortened_reason,
};

/// What the names of our own headers begin with.
const OURS: &str = "aury-";
const ATTEMPT: &str = "aury-attempt";
const COPY: &str = "aury-copy";
const SUBSCRIBER: &str = "aury-subscriber";
const REASON: &str = "aury-reason";
const ATTEMPTS: &str = "aury-attempts";
const ROUTING_KEY: &str = "aury-routing-key";
const TIME: &str = "aury-time";
const SUSPECT: &str = "aury-suspect";
/// Where a queue has dead-lettered a message by itself, and why.
const DEATHS: &str = "x-death";

/// AMQP 0-9-1's `delivery-mode` of a message that outlives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A message on its way to the broker.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
    /// What has to exist on the broker for it to arrive.
    pub(super) needs: Option<Needed>,
}

/// The headers that the broker adds to a message, or that make it do more with it than to keep it.
const BROKERS: [&str; 12] = [
    DEATHS,
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    "x-delivery-count",
    "x-acquired-count",
    "x-delay",
    // Further routing keys: everybody who is bound to them would be given it once more.
    "CC",
    "BCC",
];

/// What a message says beside the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeliveryHeaders {
    /// The number of the attempt that its delivery is, from 1.
    pub(super) attempt: u32,
    /// 0 for an event as it was published.
    pub(super) copy: u64,
    /// By what the marks of a suspect are found; 0 of a message that never was one.
    pub(super) suspect: u64,
}

/// What a dead letter says beside the event.
#[derive(Debug, Clone)]
pub(super) struct DeadLetterHeaders {
    pub(super) reason: String,
    pub(super) attempts: u32,
    pub(super) time: SystemTime,
}

/// Writes and reads messages, in the format and within the limits of a bus.
#[derive(Debug, Clone)]
pub(super) struct Messages {
    codec: Codec,
    content_type: ShortString,
    service: Option<ShortString>,
}

impl Messages {
    pub(super) fn new(config: &BackendConfig, service: &str) -> Self {
        let codec = Codec::new(config);
        let content_type = codec.content_type().into();
        Self { codec, content_type, service: ShortString::try_new(service).ok() }
    }

    /// An event for an exchange.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or is larger than the bus allows.
    pub(super) fn event(
        &self,
        envelope: &Envelope,
        exchange: ShortString,
    ) -> Result<Message, BackendError> {
        let metadata = envelope.metadata();
        let name: ShortString = metadata.name().as_str().into();
        let mut properties = BasicProperties::default()
            .with_content_type(self.content_type.clone())
            .with_delivery_mode(PERSISTENT)
            .with_timestamp(seconds(metadata.time()))
            .with_type(name.clone());
        // Ids of others may be longer than AMQP allows here; the event itself holds them, too.
        if let Ok(id) = ShortString::try_new(metadata.id().to_string()) {
            properties = properties.with_message_id(id);
        }
        if let Some(service) = &self.service {
            properties = properties.with_app_id(service.clone());
        }
        let body = self.codec.encode(envelope);
        let body = body.map_err(|error| BackendError::encode_message(metadata.name(), error))?;
        Ok(Message { exchange, routing_key: name, properties, body, needs: None })
    }

    /// Reads the event in a message.
    ///
    /// # Errors
    ///
    /// When it holds none.
    pub(super) fn read(&self, delivery: &Delivery) -> Result<Envelope, WireError> {
        let properties = &delivery.properties;
        let headers = properties.headers().as_ref();
        let mut hint = Hint::named(came_as(delivery));
        if let Some(id) = properties.message_id() {
            hint = hint.id(id.as_str());
        }
        if let Some(seconds) = properties.timestamp() {
            // Anybody can write any number here.
            if let Some(time) = UNIX_EPOCH.checked_add(Duration::from_secs(*seconds)) {
                hint = hint.time(time);
            }
        }
        if let Some(content_type) = properties.content_type() {
            hint = hint.content_type(content_type.as_str());
        }
        let attributes = headers
            .into_iter()
            .flat_map(|headers| headers.inner())
            .filter_map(|(name, value)| attribute(value).map(|value| (name.as_str(), value)));
        self.codec.decode_message(attributes, &delivery.data, &hint)
    }
}

impl Message {
    fn headers(&self) -> FieldTable {
        self.properties.headers().clone().unwrap_or_default()
    }

    /// What it is called in log lines and errors: the name of its event.
    pub(super) fn name(&self) -> ShortString {
        self.properties.kind().as_ref().unwrap_or(&self.routing_key).clone()
    }

    /// Adds headers, or changes them.
    #[must_use]
    pub(super) fn with_headers<'a>(
        mut self,
        added: impl IntoIterator<Item = (&'a str, AMQPValue)>,
    ) -> Self {
        let mut headers = self.headers();
        for (name, value) in added {
            headers.insert(name.into(), value);
        }
        self.properties = self.properties.with_headers(headers);
        self
    }

    #[must_use]
    pub(super) fn without_headers(mut self, names: &[&str]) -> Self {
        let mut headers = FieldTable::default();
        for (name, value) in self.headers().inner() {
            if !names.contains(&name.as_str()) {
                headers.insert(name.clone(), value.clone());
            }
        }
        self.properties = self.properties.with_headers(headers);
        self
    }

    /// A message as it was received, event or not, to be sent elsewhere: byte for byte, without what the broker has
    /// added to it, and without what would have the broker do more with it than to keep it.
    pub(super) fn received(delivery: &Delivery) -> Self {
        let came_as_told = AMQPValue::LongString(came_as(delivery).into());
        let is_ours = came_straight(delivery);
        let is_kept =
            |header: &str| !BROKERS.contains(&header) && (is_ours || !header.starts_with(OURS));
        Self::of(delivery, is_kept).with_headers([(ROUTING_KEY, came_as_told)])
    }

    /// Has it say the id and the time under which it is known here, if it says none: each further reading would make
    /// up others.
    #[must_use]
    pub(super) fn known_as(mut self, metadata: &Metadata) -> Self {
        if self.properties.message_id().is_none()
            && let Ok(id) = ShortString::try_new(metadata.id().to_string())
        {
            self.properties = self.properties.with_message_id(id);
        }
        if self.properties.timestamp().is_none() {
            self.properties = self.properties.with_timestamp(seconds(metadata.time()));
        }
        self
    }

    /// The message of a dead letter, as it was before the first attempt.
    pub(super) fn replayed(letter: &Delivery) -> Self {
        // How it was routed at first stays: it may be all that names the event.
        let is_kept = |header: &str| {
            let is_ours = header.starts_with(OURS) && header != ROUTING_KEY;
            !is_ours && !BROKERS.contains(&header)
        };
        Self::of(letter, is_kept).attempt(1)
    }

    fn of(delivery: &Delivery, is_kept: impl Fn(&str) -> bool) -> Self {
        let mut headers = FieldTable::default();
        if let Some(all) = delivery.properties.headers() {
            for (name, value) in all.inner().iter().filter(|(name, _)| is_kept(name.as_str())) {
                headers.insert(name.clone(), value.clone());
            }
        }
        Self {
            exchange: delivery.exchange.clone(),
            routing_key: delivery.routing_key.clone(),
            properties: kept_properties(&delivery.properties).with_headers(headers),
            body: delivery.data.clone(),
            needs: None,
        }
    }

    /// Sends it to a queue, by the default exchange.
    #[must_use]
    pub(super) fn for_queue(mut self, queue: &ShortString) -> Self {
        self.exchange = ShortString::default();
        self.routing_key = queue.clone();
        self
    }

    /// Makes it one that its subscriber is given as its attempt of that number.
    #[must_use]
    pub(super) fn attempt(self, attempt: u32) -> Self {
        self.with_headers([(ATTEMPT, AMQPValue::LongLongInt(attempt.into())), new_copy()])
    }

    /// Makes it a suspect: the same copy of its event. Its marks are found by `number`, unless it was a suspect before.
    #[must_use]
    pub(super) fn suspect(
        self,
        headers: DeliveryHeaders,
        number: u64,
        suspects: &ShortString,
    ) -> Self {
        let DeliveryHeaders { attempt, copy, suspect } = headers;
        let suspect = if suspect == 0 { number } else { suspect };
        self.with_headers([
            (ATTEMPT, AMQPValue::LongLongInt(attempt.into())),
            (COPY, AMQPValue::LongLongInt(copy as i64)),
            (SUSPECT, AMQPValue::LongLongInt(suspect as i64)),
        ])
        .for_queue(suspects)
    }

    /// Makes it a dead letter.
    #[must_use]
    pub(super) fn dead(
        self,
        subscriber: &str,
        reason: &str,
        attempts: u32,
        dead_queue: &ShortString,
    ) -> Self {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut letter = self.with_headers([
            (SUBSCRIBER, AMQPValue::LongString(subscriber.into())),
            (REASON, AMQPValue::LongString(shortened_reason(reason).into())),
            (ATTEMPTS, AMQPValue::LongLongInt(attempts.into())),
            (TIME, AMQPValue::LongLongInt(millis as i64)),
            new_copy(),
        ]);
        letter.needs = Some(Needed::Dead(dead_queue.clone()));
        letter.for_queue(dead_queue)
    }
}

/// The header of a message that is one more copy of its event.
fn new_copy() -> (&'static str, AMQPValue) {
    (COPY, AMQPValue::LongLongInt(random() as i64))
}

fn random() -> u64 {
    Uuid::new_v4().as_u64_pair().0
}

/// The properties with which a message is sent on. Left out are those with which the broker would refuse it (a user who
/// is not ours), or drop it (a time to live).
fn kept_properties(properties: &BasicProperties) -> BasicProperties {
    let mut kept = BasicProperties::default().with_delivery_mode(PERSISTENT);
    macro_rules! keep {
        ($($property:ident: $with:ident),*) => {$(
            if let Some(value) = properties.$property() {
                kept = kept.$with(value.clone());
            }
        )*};
    }
    keep!(
        content_type: with_content_type,
        content_encoding: with_content_encoding,
        priority: with_priority,
        correlation_id: with_correlation_id,
        reply_to: with_reply_to,
        message_id: with_message_id,
        timestamp: with_timestamp,
        kind: with_type,
        app_id: with_app_id,
        cluster_id: with_cluster_id
    );
    kept
}

/// Whether a message came straight into its queue, as those do whose headers are ours.
fn came_straight(delivery: &Delivery) -> bool {
    delivery.exchange.as_str().is_empty()
}

/// By which name a message was routed at first.
fn came_as(delivery: &Delivery) -> &str {
    let told = delivery.properties.headers().as_ref().filter(|_| came_straight(delivery));
    let told = told.and_then(|headers| text(headers, ROUTING_KEY));
    told.unwrap_or(delivery.routing_key.as_str())
}

/// By what a dead letter is known. One that its queue has put away by itself has no more than the id of its message.
pub(super) fn token(letter: &Delivery) -> String {
    let headers = letter.properties.headers().as_ref();
    let id = letter.properties.message_id().as_ref().map_or("", |id| id.as_str());
    match headers.and_then(|headers| number(headers, COPY)) {
        Some(copy) => format!("{id} {copy}"),
        None => id.to_owned(),
    }
}

/// What a message says beside the event.
pub(super) fn delivery_headers(delivery: &Delivery) -> DeliveryHeaders {
    let headers = delivery.properties.headers().as_ref().filter(|_| came_straight(delivery));
    let number = |name| headers.and_then(|headers| number(headers, name));
    let attempt = number(ATTEMPT).and_then(|number| u32::try_from(number).ok());
    DeliveryHeaders {
        attempt: attempt.unwrap_or(1).max(1),
        copy: number(COPY).unwrap_or(0) as u64,
        suspect: number(SUSPECT).unwrap_or(0) as u64,
    }
}

/// What a dead letter says of its end.
pub(super) fn dead_letter_headers(delivery: &Delivery) -> DeadLetterHeaders {
    let headers = delivery.properties.headers().clone().unwrap_or_default();
    let millis = number(&headers, TIME).and_then(|millis| u64::try_from(millis).ok());
    let time = millis.map(Duration::from_millis).or_else(|| time_of_the_queue(&headers));
    let attempts = number(&headers, ATTEMPTS).or_else(|| number(&headers, ATTEMPT));
    DeadLetterHeaders {
        reason: match text(&headers, REASON) {
            Some(reason) => reason.to_owned(),
            None => reason_of_the_queue(&headers),
        },
        attempts: attempts.and_then(|it| u32::try_from(it).ok()).unwrap_or(1),
        time: time.and_then(|time| UNIX_EPOCH.checked_add(time)).unwrap_or_else(SystemTime::now),
    }
}

/// Why a queue has dead-lettered a message by itself, as its `x-death` header tells.
fn reason_of_the_queue(headers: &FieldTable) -> String {
    match deaths(headers).find_map(|death| text(death, "reason")) {
        Some("rejected") => "RabbitMQ refused to take it as a dead letter with a reason, so its \
                             queue has put it away by itself; the log of the subscriber says more"
            .to_owned(),
        Some("delivery_limit") => "it was delivered too often without being settled: the \
                                   processes that held it have died or let go of it"
            .to_owned(),
        Some(reason) => format!("its queue has put it away: {reason}"),
        None => "unknown".to_owned(),
    }
}

/// When it did, since the start of 1970.
fn time_of_the_queue(headers: &FieldTable) -> Option<Duration> {
    deaths(headers).find_map(|death| match death.inner().get("time") {
        Some(AMQPValue::Timestamp(seconds)) => Some(Duration::from_secs(*seconds)),
        _ => None,
    })
}

fn deaths(headers: &FieldTable) -> impl Iterator<Item = &FieldTable> {
    let deaths = match headers.inner().get(DEATHS) {
        Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice(),
        _ => &[],
    };
    deaths.iter().filter_map(|death| match death {
        AMQPValue::FieldTable(death) => Some(death),
        _ => None,
    })
}

fn attribute(value: &AMQPValue) -> Option<AttributeValue<'_>> {
    Some(match value {
        AMQPValue::Boolean(value) => AttributeValue::Boolean(*value),
        AMQPValue::ShortString(text) => AttributeValue::String(text.as_str().into()),
        AMQPValue::LongString(text) => match str::from_utf8(text.as_bytes()) {
            Ok(text) => AttributeValue::String(text.into()),
            Err(_) => AttributeValue::Binary(text.as_bytes()),
        },
        AMQPValue::ByteArray(bytes) => AttributeValue::Binary(bytes.as_slice()),
        AMQPValue::Timestamp(seconds) => {
            AttributeValue::Timestamp(UNIX_EPOCH.checked_add(Duration::from_secs(*seconds))?)
        }
        AMQPValue::Void => AttributeValue::Null,
        other => AttributeValue::Integer(integer(other)?),
    })
}

fn integer(value: &AMQPValue) -> Option<i64> {
    Some(match value {
        AMQPValue::ShortShortInt(value) => (*value).into(),
        AMQPValue::ShortShortUInt(value) => (*value).into(),
        AMQPValue::ShortInt(value) => (*value).into(),
        AMQPValue::ShortUInt(value) => (*value).into(),
        AMQPValue::LongInt(value) => (*value).into(),
        AMQPValue::LongUInt(value) => (*value).into(),
        AMQPValue::LongLongInt(value) => *value,
        _ => return None,
    })
}

pub(super) fn number(headers: &FieldTable, name: &str) -> Option<i64> {
    integer(headers.inner().get(name)?)
}

pub(super) fn text<'a>(headers: &'a FieldTable, name: &str) -> Option<&'a str> {
    match headers.inner().get(name)? {
        AMQPValue::ShortString(text) => Some(text.as_str()),
        AMQPValue::LongString(text) => str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
