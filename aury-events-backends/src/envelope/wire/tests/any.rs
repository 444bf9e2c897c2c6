//! Events, messages and faults of any kind.

use std::time::Duration;

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
};

use super::*;
use crate::envelope::{EventName, Metadata, Payload, wire::text};

/// Names that mean something somewhere.
pub(super) const NAMES: [&str; 24] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "datacontenttype",
    "data",
    "data_base64",
    "dataschema",
    "subject",
    "traceparent",
    "tracestate",
    "correlationid",
    "causationid",
    "partitionkey",
    "dataversion",
    "hops",
    "aurymetadata",
    "event_name",
    "timestamp",
    "metadata",
    "headers",
    "key",
    "",
];

/// Any text, with control characters, noncharacters and all planes of Unicode.
pub(super) fn any_text() -> impl Strategy<Value = String> {
    let c = prop_oneof![
        4 => any::<char>(),
        4 => prop::char::range(' ', '~'),
        1 => select(vec!['\0', '\n', '"', '\\', '\u{7f}', '\u{85}', '\u{fdd0}', '\u{ffff}', '😀']),
    ];
    vec(c, 0..12).prop_map(String::from_iter)
}

/// Text that an attribute can hold.
fn attribute_text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,12}", any_text()]
        .prop_filter("it is valid", |text| text::is_attribute_value(text))
}

fn any_id() -> impl Strategy<Value = EventId> {
    let uuid = any::<u128>().prop_map(|bits| uuid::Uuid::from_u128(bits | 1).into());
    prop_oneof![uuid, attribute_text().prop_map(|text| EventId::from(&*text))]
}

fn any_header() -> impl Strategy<Value = (String, String)> {
    let name =
        prop_oneof!["[a-z0-9]{1,22}", any_text(), select(&NAMES[..]).prop_map(str::to_owned)];
    let content_type = select(vec!["application/json", "a/b+json", "application/json;\0"]);
    let value = prop_oneof![2 => any_text(), 1 => content_type.prop_map(str::to_owned)];
    (name, value)
}

/// JSON text, with much that no type of Rust can hold.
pub(super) fn any_json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has it", |it| it.is_finite())
            .prop_map(|it| format!("{it:e}")),
        "-?[1-9][0-9]{0,60}(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,6})?",
    ];
    let string = any_text().prop_map(|text| serde_json::to_string(&text).unwrap());
    let odd = select(vec![
        "null",
        "true",
        "false",
        "-0",
        "{}",
        "[]",
        " \t\r\n1 ",
        "{ }",
        r#""\ud800""#,
        r#""\u0000""#,
        r#""\/\b\f\n\r\t\"\\""#,
        r#"{"a":1,"a":2}"#,
    ])
    .prop_map(str::to_owned);
    let leaf = prop_oneof![number, string, odd];
    let tree = leaf.prop_recursive(4, 20, 4, |inner| {
        let member = (any_text(), inner.clone())
            .prop_map(|(name, value)| format!("{}:{value}", serde_json::to_string(&name).unwrap()));
        prop_oneof![
            vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(" , "))),
        ]
    });
    let deep =
        (1usize..2_000).prop_map(|depth| format!("{}0{}", "[".repeat(depth), "]".repeat(depth)));
    prop_oneof![9 => tree, 1 => deep].prop_map(|json| json.trim().to_owned())
}

prop_compose! {
    /// Any metadata that can be written.
    pub(super) fn any_metadata()(
        name in "[A-Za-z0-9_-]{1,9}(\\.[A-Za-z0-9_-]{1,9}){0,3}",
        (id, correlation_id, causation_id) in (any_id(), any_id(), option::of(any_id())),
        source in any_text().prop_filter("a source is not empty", |text| !text.is_empty()),
        seconds in -62_167_219_200i64..=253_402_300_799,
        nanos in prop_oneof![Just(0), Just(500_000_000), 0u32..1_000_000_000],
        (trace_id, span_id, flags) in (1u128.., 1u64.., any::<u8>()),
        tracestate in option::of(attribute_text()),
        key in option::of(any_text()),
        version in prop_oneof![0u32..10, any::<u32>()],
        hops in any::<u16>(),
        headers in vec(any_header(), 0..12),
    ) -> Metadata {
        let start = SystemTime::UNIX_EPOCH - Duration::from_secs(62_167_219_200);
        let time = start + Duration::new((seconds + 62_167_219_200) as u64, nanos);
        let trace = format!("00-{trace_id:032x}-{span_id:016x}-{flags:02x}").parse().unwrap();
        let source = text::to_uri_reference(source.into());
        let mut metadata = Metadata::received(EventName::parse(&name).unwrap(), id, &*source)
            .with_correlation_id(correlation_id)
            .with_time(time)
            .with_trace(trace)
            .with_version(version)
            .with_hops(hops);
        if let Some(id) = causation_id {
            metadata = metadata.with_causation_id(id);
        }
        if let Some(tracestate) = tracestate {
            metadata = metadata.with_tracestate(tracestate);
        }
        if let Some(key) = key {
            metadata = metadata.with_key(key);
        }
        for (name, value) in headers {
            metadata = metadata.with_header(name, value);
        }
        metadata
    }
}

pub(super) fn any_event() -> impl Strategy<Value = Envelope> {
    (any_metadata(), any_json()).prop_map(|(metadata, json)| {
        Envelope::new(metadata, Payload::Json(json.into_bytes().into()))
    })
}

/// Text that is nearly a message: the tokens of one, in any order.
pub(super) fn nearly_a_message() -> impl Strategy<Value = String> {
    let member =
        (select(&NAMES[..]), any_json()).prop_map(|(name, json)| format!("\"{name}\":{json}"));
    let likely = select(vec![
        r#""specversion":"1.0""#,
        r#""id":"1""#,
        r#""source":"/s""#,
        r#""type":"a""#,
        r#""event_name":"a""#,
        r#""time":"2018-04-05T17:31:00Z""#,
        r#""datacontenttype":"text/json""#,
        r#""data":{}"#,
        r#""data_base64":"e30=""#,
        r#""aurymetadata":"{\"key\":\"\",\"headers\":{\"A\":\"b\"}}""#,
        r#""metadata":{"source":"/s","headers":{"source":"x"}}"#,
        r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01""#,
        r#""tracestate":"a=1""#,
        r#""tracestate":"\u0000""#,
        r#""hops":"7""#,
    ])
    .prop_map(str::to_owned);
    vec(prop_oneof![likely, member], 0..12).prop_map(|members| format!("{{{}}}", members.join(",")))
}

/// A change that a faulty line, disk or program makes.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, u8),
    Repeat(Index, Index),
}

pub(super) fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (any::<Index>(), 1u8..).prop_map(|(at, bits)| Fault::Flip(at, bits)),
        any::<Index>().prop_map(Fault::Cut),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Fault::Insert(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Fault::Repeat(from, to)),
    ]
}

impl Fault {
    pub(super) fn happen(&self, message: &mut Vec<u8>) {
        let end = message.len() + 1;
        match self {
            Self::Flip(at, bits) if !message.is_empty() => {
                let at = at.index(message.len());
                message[at] ^= bits;
            }
            Self::Flip(..) => {}
            Self::Cut(at) => message.truncate(at.index(end)),
            Self::Insert(at, byte) => message.insert(at.index(end), *byte),
            Self::Repeat(from, to) => {
                let (from, to) = (from.index(end), to.index(end));
                let part = message[from.min(to)..from.max(to)].to_vec();
                message.extend(part);
            }
        }
    }
}

/// An attribute's value that owns what it holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(String),
    Binary(Vec<u8>),
    Time(SystemTime),
}

pub(super) fn any_value() -> impl Strategy<Value = Value> {
    let time = any::<i64>().prop_filter_map("the system has it", |seconds| {
        let distance = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        }
    });
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Integer),
        (0i64..9).prop_map(Value::Integer),
        any_text().prop_map(Value::Text),
        vec(any::<u8>(), 0..9).prop_map(Value::Binary),
        time.prop_map(Value::Time),
    ]
}

impl Value {
    pub(super) fn as_attribute(&self) -> AttributeValue<'_> {
        match self {
            Self::Null => AttributeValue::Null,
            Self::Boolean(value) => AttributeValue::Boolean(*value),
            Self::Integer(value) => AttributeValue::Integer(*value),
            Self::Text(text) => AttributeValue::String(text.into()),
            Self::Binary(bytes) => AttributeValue::Binary(bytes),
            Self::Time(time) => AttributeValue::Timestamp(*time),
        }
    }
}
