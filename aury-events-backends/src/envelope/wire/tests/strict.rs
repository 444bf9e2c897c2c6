//! What is written, to the letter.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::envelope::{EventName, Metadata, Payload, wire::text};

/// An event with everything an event can have.
fn event() -> Envelope {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let metadata = Metadata::new(EventName::from_static("order.created"), 2, "/shop", None)
        .with_id("01890a5d-ac96-774b-bcce-b302099a8057".into())
        .with_correlation_id("txn-1".into())
        .with_causation_id("order/17".into())
        .with_time(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_522_949_460_000_000_001))
        .with_trace(trace)
        .with_tracestate("rojo=1")
        .with_hops(3)
        .with_key("o-1")
        .with_header("tenant", "größe")
        .with_header("X-Tenant", "a\"b\n")
        .with_header("hops", "mine")
        .with_header("headers", "mine");
    Envelope::new(metadata, Payload::Json(br#"{"order_id":"o-1"}"#.as_slice().into()))
}

#[test]
fn a_cloudevent() {
    let bytes = codec(Format::CloudEvents).encode(&event()).unwrap();
    let expected = concat!(
        r#"{"specversion":"1.0","id":"01890a5d-ac96-774b-bcce-b302099a8057","type":"order.created","#,
        r#""time":"2018-04-05T17:31:00.000000001Z","datacontenttype":"application/json","#,
        r#""source":"/shop","#,
        r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
        r#""tracestate":"rojo=1","correlationid":"txn-1","causationid":"order/17","#,
        r#""dataversion":2,"hops":3,"partitionkey":"o-1","tenant":"größe","headers":"mine","#,
        r#""aurymetadata":"{\"headers\":{\"X-Tenant\":\"a\\\"b\\u000a\",\"hops\":\"mine\"}}","#,
        r#""data":{"order_id":"o-1"}}"#,
    );
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn an_envelope_of_aury_boot() {
    let bytes = codec(Format::Aury).encode(&event()).unwrap();
    let expected = concat!(
        r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","event_name":"order.created","#,
        r#""timestamp":"2018-04-05T17:31:00.000000001Z","metadata":{"source":"/shop","#,
        r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
        r#""tracestate":"rojo=1","correlationid":"txn-1","causationid":"order/17","#,
        r#""dataversion":2,"hops":3,"partitionkey":"o-1","headers":{"hops":"mine","headers":"mine"},"#,
        r#""tenant":"größe","X-Tenant":"a\"b\n"},"data":{"order_id":"o-1"}}"#,
    );
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn an_event_published_here_takes_no_more_room_than_was_made_for_it() {
    let payload = Payload::Json(br#"{"order_id":"o-1"}"#.as_slice().into());
    let first = Metadata::new(EventName::from_static("a"), 1, "/shop", None);
    let second =
        Metadata::new(EventName::from_static("b"), u32::MAX, "/shop", Some(&first.as_cause()));
    let envelope = Envelope::new(second.with_key("k").with_hops(u16::MAX), payload);
    for format in [Format::CloudEvents, Format::Aury] {
        let bytes = codec(format).encode(&envelope).unwrap();
        let spare = bytes.capacity() - bytes.len();
        assert!((1..100).contains(&spare), "{spare} bytes to spare in {format}");
    }
}

/// Checks a message against the CloudEvents 1.0 specification and its JSON format.
pub(super) fn assert_valid(message: &[u8]) {
    let event: BTreeMap<String, Value> = serde_json::from_slice(message).unwrap();
    assert_eq!(event["specversion"], "1.0");
    let content_type = event["datacontenttype"].as_str().unwrap();
    assert!(
        text::is_json(content_type)
            || text::is_media_type(content_type) && event["data"].is_string()
    );
    assert!(event.contains_key("data") && !event.contains_key("data_base64"));
    for required in ["id", "source", "type", "time"] {
        assert!(event[required].is_string(), "{required}");
    }
    for (name, value) in event.iter().filter(|(name, _)| *name != "data") {
        // §Naming Conventions
        assert!((1..=20).contains(&name.len()), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
        // §Type System
        match value {
            Value::String(text) => assert_string(text),
            Value::Number(number) => {
                assert!(number.as_i64().is_some_and(|it| i32::try_from(it).is_ok()), "{name}");
            }
            _ => panic!("`{name}` is neither a string nor a number"),
        }
    }
    let source = event["source"].as_str().unwrap();
    assert!(source.bytes().all(|b| b.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&b)));
    let time = event["time"].as_str().unwrap();
    let pattern = "0000-00-00T00:00:00";
    let digits = time.replace(|c: char| c.is_ascii_digit(), "0");
    assert!(digits.starts_with(pattern) && digits.ends_with('Z'), "{time}");
}

fn assert_string(text: &str) {
    assert!(!text.is_empty());
    for c in text.chars() {
        let code = u32::from(c);
        assert!(!matches!(code, 0..=0x1f | 0x7f..=0x9f | 0xfdd0..=0xfdef), "U+{code:04X}");
        assert!(!matches!(code & 0xffff, 0xfffe | 0xffff), "U+{code:04X}");
    }
}

#[test]
fn the_examples_here_are_valid() {
    assert_valid(&codec(Format::CloudEvents).encode(&event()).unwrap());
}
