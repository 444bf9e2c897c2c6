//! The wire format: an [`Envelope`](super::Envelope) as bytes, and back.
//!
//! A [`Codec`] writes CloudEvents 1.0, or the envelope of aury-boot if a bus is configured so. Whichever it writes, it
//! reads all of these:
//!
//! | form | is known by |
//! |---|---|
//! | CloudEvents 1.0, JSON format, structured mode | the member `specversion`, or the content type |
//! | CloudEvents 1.0, binary mode over AMQP | properties that begin with `cloudEvents:`, `cloudEvents_` or `ce-` |
//! | the envelope of aury-boot | the members `event_name` and `data` |
//! | the event's data, bare | being any other JSON object |
//!
//! What is written is valid to the letter, and reads back as the same event: payload, headers and all. What is read is
//! taken where it can be understood without doubt:
//!
//! - Attributes that mean nothing to the framework become headers, whatever their names; of a value that is not simple,
//!   the JSON text. `subject` and `dataschema` are among them.
//! - An event that does not say its name, its time or its id has those of the [`Hint`]: channel or routing key, the
//!   time of receipt, the transport's id of the message. One that does not say its source comes from `/unknown`.
//! - What a source may not hold as a URI is percent-encoded. A `traceparent` that is missing or invalid gives a new
//!   trace (W3C Trace Context §4.3). An attribute that is `null`, or optional and empty, is not set.
//! - An event without data has the payload `null`.
//! - Data that is declared as text (`text/*`, XML) is a string of JSON, other data that is no JSON is
//!   [`Payload::Binary`](super::Payload::Binary); the header `datacontenttype` says what it is.
//! - A byte order mark before JSON text is skipped.
//! - The event's name is the one that the message gives, not the one under which it came: that is a hint only. A
//!   subscriber of one event by name gets what comes under that name.
//!
//! Everything else is a [`WireError`], which says what is valid: attributes that are missing, invalid, or there twice;
//! a `hops` that cannot be counted on, since it is what ends a loop; another `specversion`; a payload that is declared as
//! JSON and is none;
//! too much of anything ([`Limits`]). Reading takes linear time and no recursion, and does not panic.

mod attribute;
mod aury;
mod binary;
mod cloudevents;
mod codec;
mod data;
mod error;
mod hint;
mod limits;
mod members;
mod received;
mod sent;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod writer;

use self::attribute::Attribute;
pub use self::{
    attribute::AttributeValue, codec::Codec, error::WireError, hint::Hint, limits::Limits,
};
