//! What others write, from their own documentation where there is one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

/// `2018-04-05T17:31:00Z`.
fn example_time() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_522_949_460)
}

fn headers(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

const EXTENSIONS: [(&str, &str); 2] =
    [("comexampleextension1", "value"), ("comexampleothervalue", "5")];

#[test]
fn the_examples_of_the_json_format() {
    for (id, data, payload) in [
        // CloudEvents 1.0 JSON format §3.2: an object, a number, a literal string.
        (
            "C234-1234-1234",
            r#""datacontenttype" : "application/json",
               "data" : {
                   "appinfoA" : "abc",
                   "appinfoB" : 123,
                   "appinfoC" : true
               }"#,
            r#"{"appinfoA":"abc","appinfoB":123,"appinfoC":true}"#,
        ),
        ("C234-1234-1234", r#""datacontenttype" : "application/json", "data" : 1.5"#, "1.5"),
        ("D234-1234-1234", r#""data" : "I'm just a string""#, r#""I'm just a string""#),
        // §3.1.1: an explicit null.
        ("E234-1234-1234", r#""data" : null"#, "null"),
    ] {
        let event = decode(format!(
            r#"{{
                "specversion" : "1.0",
                "type" : "com.example.someevent",
                "source" : "/mycontext",
                "subject": null,
                "id" : "{id}",
                "time" : "2018-04-05T17:31:00Z",
                "comexampleextension1" : "value",
                "comexampleothervalue" : 5,
                {data}
            }}"#
        ))
        .unwrap();
        let facts = facts(&event);
        assert_eq!(facts.id, id.into());
        assert_eq!((&*facts.name, &*facts.source), ("com.example.someevent", "/mycontext"));
        assert_eq!((facts.time, facts.version, facts.hops), (example_time(), 1, 0));
        assert_eq!((facts.correlation_id, facts.causation_id), (id.into(), None));
        assert_eq!(facts.headers, headers(&EXTENSIONS));
        let compact: serde_json::Value = serde_json::from_str(&facts.payload).unwrap();
        assert_eq!(compact.to_string(), payload);
    }
}

#[test]
fn payloads_in_base64_that_are_declared_as_json() {
    // The data of the last example in §3.2, which declares nothing.
    for content_type in ["application/json", "application/vnd.example.v1+JSON; charset=utf-8"] {
        let event = decode(
            format!(
                r#"{{"specversion":"1.0","type":"a","source":"/s","id":"1","data":null,
                 "datacontenttype":"{content_type}","data_base64":"eyAieHl6IjogMTIzIH0="}}"#
            )
            .replace(r#""data":null,"#, ""),
        )
        .unwrap();
        assert_eq!(facts(&event).payload, r#"{ "xyz": 123 }"#);
    }
}

#[test]
fn the_example_of_the_correlation_extension() {
    let event = decode(
        r#"{
          "specversion": "1.0",
          "type": "com.example.payment.processed",
          "source": "https://example.com/payments",
          "id": "payment-789",
          "correlationid": "txn-abc-123",
          "causationid": "order-123",
          "data": {
            "amount": 150.0,
            "currency": "USD"
          }
        }"#,
    )
    .unwrap();
    let facts = facts(&event);
    assert_eq!(facts.correlation_id, "txn-abc-123".into());
    assert_eq!(facts.causation_id, Some("order-123".into()));
    assert_eq!(facts.headers, headers(&[]));
}

#[test]
fn every_extension_the_framework_knows() {
    let event = decode(
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"a","time":"2018-04-05T19:31:00+02:00",
            "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01",
            "tracestate":"rojo=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "partitionkey":"order-17","dataversion":"3","hops":"2","subject":"order 17",
            "dataschema":"https://shop.example/order.json","flag":true,"Odd-Name":"kept",
            "nested":{"a":[1]},"empty":"","huge":1e400,"unset":null,"data":{}}"#,
    )
    .unwrap();
    let facts = facts(&event);
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01";
    assert_eq!(facts.trace.to_string(), traceparent);
    let tracestate = "rojo=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(facts.tracestate.as_deref(), Some(tracestate));
    assert_eq!((facts.key.as_deref(), facts.version, facts.hops), (Some("order-17"), 3, 2));
    assert_eq!(facts.time, example_time());
    let others = [
        ("subject", "order 17"),
        ("dataschema", "https://shop.example/order.json"),
        ("flag", "true"),
        ("Odd-Name", "kept"),
        ("nested", r#"{"a":[1]}"#),
        ("empty", ""),
        ("huge", "1e400"),
    ];
    assert_eq!(facts.headers, headers(&others));
}

#[test]
fn a_trace_whose_state_is_not_valid() {
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01";
    let event = decode(format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a","traceparent":"{traceparent}",
            "tracestate":"a=\n"}}"#
    ))
    .unwrap();
    let facts = facts(&event);
    assert_eq!((facts.trace.to_string().as_str(), facts.tracestate), (traceparent, None));
}

#[test]
fn what_is_left_out_has_a_default() {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let before = SystemTime::now();
    for more in [
        "",
        r#","time":null,"traceparent":null,"hops":null,"datacontenttype":null,"data_base64":null"#,
        r#","time":"","traceparent":"","correlationid":"","causationid":"","tracestate":"""#,
        r#","traceparent":null,"tracestate":"a=1""#,
        // W3C Trace Context §4.3: a parent that is not valid restarts the trace, whatever its state says.
        r#","traceparent":"00-00000000000000000000000000000000-b9c7c989f97918e1-01","tracestate":"a=1""#,
    ] {
        let event = decode(format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"a"{more}}}"#
        ))
        .unwrap();
        let facts = facts(&event);
        assert!(facts.time >= before && facts.time <= SystemTime::now());
        assert_eq!(facts.trace.trace_id().to_string(), id.replace('-', ""));
        assert_eq!((facts.version, facts.hops, facts.key), (1, 0, None));
        assert_eq!((facts.correlation_id, facts.causation_id), (id.into(), None));
        assert_eq!((facts.tracestate, &*facts.payload), (None, "null"));
    }
}

#[test]
fn binary_mode_under_each_prefix() {
    // CloudEvents 1.0 AMQP binding §3.1.4; with `ce-`, what Knative's RabbitMQ source and broker send.
    for prefix in ["cloudEvents:", "cloudEvents_", "ce-"] {
        let attributes = [
            ("specversion", "1.0"),
            ("type", "com.example.someevent"),
            ("time", "2018-04-05T17:31:00Z"),
            ("id", "1234-1234-1234"),
            ("source", "/mycontext/subcontext"),
            ("hops", "4"),
            ("knativearrivaltime", "2018-04-05T17:31:01Z"),
        ]
        .map(|(name, text)| (format!("{prefix}{name}"), text));
        let mut properties: Vec<_> =
            attributes.iter().map(|(name, text)| (&**name, *text)).collect();
        let content_type = format!("{prefix}datacontenttype");
        properties.extend([("x-death", "3"), ("cloudEvents", "?"), ("traceparent", "?")]);
        // §3.1.1: the message's own content type takes its place.
        properties.push((&content_type, "text/plain"));
        let event =
            decode_binary(&properties, "application/json; charset=utf-8", " {\"a\": 1}\n").unwrap();
        let facts = facts(&event);
        assert_eq!((facts.id, &*facts.name), ("1234-1234-1234".into(), "com.example.someevent"));
        assert_eq!((&*facts.source, facts.time), ("/mycontext/subcontext", example_time()));
        assert_eq!((facts.hops, &*facts.payload), (4, r#"{"a": 1}"#));
        let others = [
            ("knativearrivaltime", "2018-04-05T17:31:01Z"),
            ("datacontenttype", "application/json; charset=utf-8"),
        ];
        assert_eq!(facts.headers, headers(&others));
    }
}

#[test]
fn binary_mode_with_the_types_of_amqp() {
    let properties = [
        ("cloudEvents:specversion", AttributeValue::String("1.0".into())),
        ("cloudEvents:type", AttributeValue::String("a".into())),
        ("cloudEvents:id", AttributeValue::Integer(17)),
        ("cloudEvents:source", AttributeValue::String("/s".into())),
        ("cloudEvents:time", AttributeValue::Timestamp(example_time())),
        ("cloudEvents:hops", AttributeValue::Integer(3)),
        ("cloudEvents:flag", AttributeValue::Boolean(true)),
        ("cloudEvents:bytes", AttributeValue::Binary(b"\0\xff")),
        ("cloudEvents:moment", AttributeValue::Timestamp(example_time())),
        ("cloudEvents:unset", AttributeValue::Null),
    ];
    let decode = |body| {
        let properties = properties.clone();
        codec(Format::CloudEvents).decode_message(properties, body, &Hint::default()).unwrap()
    };
    let facts = |body| facts(&decode(body));
    assert_eq!((facts(b"{}").id, facts(b"{}").hops), ("17".into(), 3));
    assert_eq!(facts(b"{}").time, example_time());
    let others = [("flag", "true"), ("bytes", "AP8="), ("moment", "2018-04-05T17:31:00Z")];
    assert_eq!(facts(b"{}").headers, headers(&others));
    assert_eq!(facts(b"").payload, "null");
}

#[test]
fn structured_mode_goes_before_properties() {
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"a"}"#;
    let properties = [("ce-specversion", "1.0"), ("ce-id", "2")];
    let content_type = "Application/CloudEvents+json; charset=UTF-8";
    let event = decode_binary(&properties, content_type, event).unwrap();
    assert_eq!(facts(&event).id, "1".into());
}

#[test]
fn the_envelope_of_aury_boot() {
    // `json.dumps(event.to_dict())` of aury-boot 0.0.71, whose times have no offset.
    let event = decode(
        r#"{"id": "7b0f7c0e-9f5e-4f0a-8a57-0c7f1a3d2b11", "event_name": "OrderCreatedEvent", "timestamp": "2018-04-05T17:31:00.123456", "metadata": {"tenant": "a", "attempt": 2, "tags": ["x"], "id": "mine", "none": null}, "data": {"order_id": "o-1", "note": "gr\u00f6\u00dfe"}}"#,
    )
    .unwrap();
    let facts = facts(&event);
    assert_eq!(facts.id, "7b0f7c0e-9f5e-4f0a-8a57-0c7f1a3d2b11".into());
    assert_eq!((&*facts.name, &*facts.source), ("OrderCreatedEvent", "/unknown"));
    assert_eq!(facts.time, example_time() + Duration::from_micros(123_456));
    let others = [("tenant", "a"), ("attempt", "2"), ("tags", r#"["x"]"#), ("id", "mine")];
    assert_eq!(facts.headers, headers(&others));
    assert_eq!(facts.payload, r#"{"order_id": "o-1", "note": "gr\u00f6\u00dfe"}"#);
}

#[test]
fn an_envelope_of_aury_boot_that_was_written_by_hand() {
    let event = decode(r#"{"event_name":"a","data":[],"timestamp":null,"metadata":null}"#).unwrap();
    let id = facts(&event).id.as_uuid().unwrap();
    assert_eq!((&*facts(&event).name, id.get_version_num()), ("a", 7));
    let event = decode(r#"{"event_name":"a","data":{"b":1},"extra":1}"#).unwrap();
    assert_eq!(facts(&event).headers, headers(&[("extra", "1")]));
}

#[test]
fn bare_objects() {
    for object in [
        "{}",
        r#"{"order_id":"o-1"}"#,
        // Members that an envelope has, too, and of which none has all.
        r#"{"id":1,"id":[],"type":{},"source":null,"time":"now","data":1,"data_base64":2}"#,
        r#"{"event_name":"party"}"#,
        r#"{"event_name":7,"data":{}}"#,
        r#"{"specversion":null}"#,
        r#"{"text":"\ud800 \u0000","number":-1e99999,"deep":[[[[]]]]}"#,
    ] {
        let event = decode(format!(" \r\n\t{object}\n")).unwrap();
        assert_eq!(facts(&event).payload, object);
        assert_eq!((&*facts(&event).name, &*facts(&event).source), ("hinted.name", "/unknown"));
    }
}

#[test]
fn a_bare_object_has_the_id_and_the_time_of_its_message() {
    let hint = Hint::named("a").id("1700000000000-0").time(example_time());
    let event = codec(Format::CloudEvents).decode(b"{}", &hint).unwrap();
    assert_eq!((facts(&event).id, facts(&event).time), ("1700000000000-0".into(), example_time()));
    // What could not be written again is not taken.
    let eternity = UNIX_EPOCH + Duration::from_secs(1 << 40);
    let hint = Hint::named("a").id("\0").time(eternity);
    let event = codec(Format::CloudEvents).decode(b"{}", &hint).unwrap();
    assert!(facts(&event).id.as_uuid().is_some() && facts(&event).time < eternity);
}

#[test]
fn a_source_that_is_no_uri_is_made_one() {
    let event = decode(r#"{"specversion":"1.0","id":"1","source":"my shöp","type":"a"}"#).unwrap();
    assert_eq!(facts(&event).source, "my%20sh%C3%B6p");
}

#[test]
fn data_that_is_no_json_is_kept_as_it_is_and_survives_the_way_on() {
    let with = |members: &str| {
        let event =
            format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a",{members}}}"#);
        decode(event).unwrap()
    };
    let attributes =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "a")];
    let binary = |content_type, body| decode_binary(&attributes, content_type, body).unwrap();
    let bytes = Some(vec![0, 0, 0]);
    let xml = r#""<much wow=\"xml\"/>""#;
    for (event, content_type, payload, bytes) in [
        // CloudEvents 1.0 JSON format §3.2, the first two examples and the last.
        (
            with(
                r#""datacontenttype":"application/vnd.apache.thrift.binary","data_base64":"AAAA""#,
            ),
            Some("application/vnd.apache.thrift.binary"),
            "",
            bytes.clone(),
        ),
        (
            with(r#""datacontenttype":"application/xml","data":"<much wow=\"xml\"/>""#),
            Some("application/xml"),
            xml,
            None,
        ),
        (with(r#""data_base64":"AAAA""#), None, "", bytes.clone()),
        (
            with(r#""datacontenttype":"text/plain","data":"hello""#),
            Some("text/plain"),
            r#""hello""#,
            None,
        ),
        (binary("text/plain", "hello"), Some("text/plain"), r#""hello""#, None),
        (binary("application/xml", "<much wow=\"xml\"/>"), Some("application/xml"), xml, None),
        (binary("application/octet-stream", "\0\0\0"), Some("application/octet-stream"), "", bytes),
        (binary("text/plain", ""), Some("text/plain"), "null", None),
    ] {
        for format in [Format::CloudEvents, Format::Aury] {
            let codec = codec(format);
            let sent = codec.encode(&event).unwrap();
            for event in [&event, &codec.decode(&sent, &Hint::default()).unwrap()] {
                let facts = facts(event);
                assert_eq!((&*facts.payload, &facts.binary), (payload, &bytes), "{sent:?}");
                let declared = facts.headers.get("datacontenttype").map(|it| &**it);
                // Bytes that said nothing of themselves are declared as bytes.
                let expected = content_type.or(declared.filter(|_| bytes.is_some()));
                assert_eq!(declared, expected);
            }
        }
    }
}

#[test]
fn a_byte_order_mark_before_json_is_skipped() {
    let event = decode("\u{feff}{\"a\":1}").unwrap();
    assert_eq!(facts(&event).payload, r#"{"a":1}"#);
    let attributes =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "a")];
    let event = decode_binary(&attributes, "application/json", "\u{feff}{\"a\":1}").unwrap();
    assert_eq!(facts(&event).payload, r#"{"a":1}"#);
}
