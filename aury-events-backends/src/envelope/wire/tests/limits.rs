//! The limits hold on the way out and on the way in, and nothing is slow or deep enough to hurt.

use super::*;
use crate::envelope::{EventName, Metadata, Payload, wire::Limits};

fn small(format: Format) -> Codec {
    let limits = Limits { max_payload_bytes: 100, max_headers: 3, max_metadata_bytes: 50 };
    codec(format).with_limits(limits)
}

fn metadata() -> Metadata {
    Metadata::new(EventName::from_static("a"), 1, "/s", None)
}

fn json(text: impl Into<Vec<u8>>) -> Payload {
    Payload::Json(text.into().into())
}

/// What becomes of an event that goes out within limits of its own and comes in within the small ones.
fn on_both_sides(metadata: &Metadata, payload: Payload) -> Vec<Result<Envelope, String>> {
    let envelope = Envelope::new(metadata.clone(), payload);
    let mut results = Vec::new();
    for format in [Format::CloudEvents, Format::Aury] {
        let bytes = codec(format).encode(&envelope).unwrap();
        let sent = small(format).encode(&envelope).map(|_| envelope.clone());
        let received = small(format).decode(&bytes, &Hint::default());
        results.extend([sent, received].map(|result| result.map_err(|error| told(&error))));
    }
    results
}

fn assert_refused(results: Vec<Result<Envelope, String>>, expected: &str) {
    for result in results {
        assert_eq!(result.unwrap_err(), expected);
    }
}

#[test]
fn payloads() {
    let string = |size: usize| json(format!("\"{}\"", "x".repeat(size - 2)));
    assert!(on_both_sides(&metadata(), string(100)).iter().all(Result::is_ok));
    let expected = "the payload has 101 bytes: at most 100 are allowed";
    assert_refused(on_both_sides(&metadata(), string(101)), expected);

    let bare = format!("{{\"a\":\"{}\"}}", "x".repeat(93));
    let error = small(Format::Aury).decode(bare.as_bytes(), &Hint::named("a")).unwrap_err();
    assert_eq!(told(&error), expected);
    let huge = " ".repeat(10_000);
    let error = small(Format::Aury).decode(huge.as_bytes(), &Hint::named("a")).unwrap_err();
    assert_eq!(told(&error), "the message has 10000 bytes: at most 1000 are allowed");
}

#[test]
fn headers() {
    let numbered = |count: usize| {
        let with = |metadata: Metadata, n: usize| metadata.with_header(format!("h{n}"), "x");
        (0..count).fold(metadata(), with)
    };
    assert!(on_both_sides(&numbered(3), json("1")).iter().all(Result::is_ok));
    let expected = "the event has too many headers: at most 3 are allowed";
    assert_refused(on_both_sides(&numbered(4), json("1")), expected);
    assert_refused(on_both_sides(&numbered(40), json("1")), expected);

    // So many members that one of them could be overlooked.
    let unset: String = (0..40).map(|n| format!("\"h{n}\":null,")).collect();
    for last in [r#""specversion":"1.0""#, r#""event_name":"a","data":0"#] {
        let message = format!("{{{unset}{last}}}");
        let error = small(Format::Aury).decode(message.as_bytes(), &Hint::default()).unwrap_err();
        assert_eq!(told(&error), expected);
    }
}

#[test]
fn metadata_of_any_kind() {
    let long = |size: usize| "x".repeat(size);
    for large in [
        // `/s` takes two bytes.
        metadata().with_key(long(49)),
        metadata().with_header("tenant", long(43)),
        metadata().with_header(long(48), "a"),
        metadata().with_tracestate(long(49)),
        metadata().with_causation_id((&*long(49)).into()),
        metadata().with_id((&*long(25)).into()).with_hops(1).with_key("").with_header("", ""),
    ] {
        let size = if large.id().as_uuid().is_some() { 51 } else { 52 };
        let expected = format!("the metadata has {size} bytes: at most 50 are allowed");
        assert_refused(on_both_sides(&large, json("1")), &expected);
    }
    assert!(on_both_sides(&metadata().with_key(long(48)), json("1")).iter().all(Result::is_ok));
}

#[test]
fn the_largest_metadata_is_within_the_largest_message() {
    for filler in ["\0", "\"", "\u{1f600}", "\u{9f}"] {
        let value = filler.repeat((8 * 1024 - 4) / filler.len());
        let envelope = Envelope::new(metadata().with_header("-", value), json("1"));
        for format in [Format::CloudEvents, Format::Aury] {
            let limits = Limits { max_payload_bytes: 1, ..Limits::default() };
            let codec = codec(format).with_limits(limits);
            let bytes = codec.encode(&envelope).unwrap();
            let back = codec.decode(&bytes, &Hint::default()).unwrap();
            assert_eq!(facts(&back), facts(&envelope));
        }
    }
}

#[test]
fn nesting_of_any_depth() {
    let depth = 100_000;
    let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let event = decode(format!(r#"{{"a":{deep}}}"#)).unwrap();
    assert!(event.payload().decode_json::<serde_json::Value>().is_err());
    assert!(decode(format!(r#"{{"specversion":"1.0","id":{deep}}}"#)).is_err());
    assert!(decode("[".repeat(depth)).is_err());
    assert!(decode(r#"{"a":"#.repeat(depth)).is_err());
    assert!(decode(r#"{"event_name":"a","data":0,"metadata":"#.repeat(depth / 4)).is_err());
}

#[test]
fn members_by_the_ten_thousands() {
    for name in ["a", "data", "specversion", "event_name"] {
        let members = format!("\"{name}\":0,").repeat(50_000);
        let event = decode(format!("{{{members}\"z\":0}}"));
        assert_eq!(event.is_ok(), !["specversion"].contains(&name), "{name}");
    }
}

#[test]
fn what_cannot_be_written_is_refused_to_the_publisher() {
    let source = Metadata::new(EventName::from_static("a"), 1, "no uri", None);
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40);
    for (metadata, cloudevents, aury) in [
        (metadata().with_id("".into()), "`id` is not valid", "`id` is not valid"),
        (metadata().with_id("a\n".into()), "`id` is not valid", "`id` is not valid"),
        (source, "`source` is not valid", "`source` is not valid"),
        (metadata().with_time(time), "`time` is not valid", "`timestamp` is not valid"),
        (metadata().with_tracestate("\n"), "`tracestate` is not", "`tracestate` is not"),
    ] {
        let envelope = Envelope::new(metadata, json("1"));
        for (format, expected) in [(Format::CloudEvents, cloudevents), (Format::Aury, aury)] {
            let error = codec(format).encode(&envelope).unwrap_err();
            assert!(told(&error).starts_with(expected), "{error}");
        }
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() {
    let long = "é\\n".repeat(4 << 20);
    for member in ["source", "id", "tenant", "aurymetadata", "traceparent", "time"] {
        let mut members =
            vec![("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "a")];
        members.retain(|(name, _)| *name != member);
        members.push((member, &*long));
        let members: Vec<_> =
            members.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
        let message = format!("{{{}}}", members.join(","));
        let start = std::time::Instant::now();
        let error = decode(message).unwrap_err();
        let took = start.elapsed();
        assert!(matches!(error, WireError::TooLarge { what: "metadata", .. }), "{member}: {error}");
        assert!(took < std::time::Duration::from_secs(20), "{member}: {took:?}");
    }
    let huge = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a","data_base64":"{}"}}"#,
        "A".repeat(12 << 20)
    );
    let error = decode(huge).unwrap_err();
    assert!(matches!(error, WireError::TooLarge { what: "payload", .. }), "{error}");
}

#[test]
fn no_error_is_longer_than_a_line() {
    let event = decode(format!(r#"{{"is_paid":"{}"}}"#, "x".repeat(4 << 20))).unwrap();
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Paid {
        is_paid: bool,
    }
    let error = event.payload().decode::<Paid>().unwrap_err();
    let text = error.to_string();
    assert!(text.len() < 600 && text.contains("expected a boolean"), "{} bytes", text.len());
    assert!(format!("{error:?}").len() < 600);
}
