//! What is wrong with a message, and how it is told.

use super::*;

fn refusal(message: impl AsRef<[u8]>) -> String {
    told(&decode(message).unwrap_err())
}

/// A CloudEvent with these members after the required ones.
fn with(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a",{members}}}"#)
}

#[test]
fn what_is_not_json() {
    for (message, told) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        (" ", "EOF while parsing a value at line 1 column 1"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        (r#"{"a":}"#, "expected value at line 1 column 6"),
        (r#"{"a":1}x"#, "trailing characters at line 1 column 8"),
        (r#"{"a":1,}"#, "trailing comma at line 1 column 8"),
        (
            "{\"a\":\"\n\"}",
            "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 6",
        ),
    ] {
        assert_eq!(refusal(message), format!("the message is not valid JSON: {told}"), "{message}");
    }
    assert_eq!(
        refusal(b"{\"a\":\"\xff\"}"),
        "the message is not text in UTF-8: invalid utf-8 sequence of 1 bytes from index 6"
    );
    for message in ["1", "[]", "null", r#""{}""#, "x", "\u{feff}\u{feff}{}"] {
        assert!(refusal(message).starts_with("the message is not a JSON object"), "{message}");
    }
}

#[test]
fn attributes_that_are_missing_or_not_what_they_should_be() {
    for (message, told) in [
        (
            r#"{"specversion":"1.0","source":"/s","type":"a"}"#.to_owned(),
            "`id` is missing: a CloudEvent has `specversion`, `id`, `source` and `type`",
        ),
        (
            r#"{"specversion":"1.0","id":null,"source":"/s","type":"a"}"#.to_owned(),
            "`id` is missing: a CloudEvent has `specversion`, `id`, `source` and `type`",
        ),
        (
            r#"{"specversion":"0.3","id":"1","source":"/s","type":"a"}"#.to_owned(),
            "`specversion` is not valid: expected `1.0`",
        ),
        (
            r#"{"specversion":"1.0","id":"","source":"/s","type":"a"}"#.to_owned(),
            "`id` is not valid: expected a string that is not empty",
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"","type":"a"}"#.to_owned(),
            "`source` is not valid: expected a string that is not empty",
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"/s","type":""}"#.to_owned(),
            "`type` is not valid: expected a string that is not empty",
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"no name"}"#.to_owned(),
            "the event name in `type` is not valid: an event name consists of ASCII letters, \
             digits, `_`, `-` and dots",
        ),
        (
            r#"{"event_name":"","data":1}"#.to_owned(),
            "`event_name` is not valid: expected a string that is not empty",
        ),
        (
            r#"{"event_name":"a..b","data":1}"#.to_owned(),
            "the event name in `event_name` is not valid: an event name has no empty segment",
        ),
        (
            r#"{"event_name":"a","data":1,"metadata":[]}"#.to_owned(),
            "`metadata` is not valid: expected an object",
        ),
        (
            r#"{"event_name":"a","data":1,"timestamp":17}"#.to_owned(),
            "`timestamp` is not valid: expected a time such as `2018-04-05T17:31:00Z` (RFC 3339)",
        ),
        (
            with(r#""time":"2018-04-05T17:31:00""#),
            "`time` is not valid: expected a time such as `2018-04-05T17:31:00Z` (RFC 3339)",
        ),
        (
            with(r#""correlationid":"a\n""#),
            "`correlationid` is not valid: expected a string without control characters",
        ),
        (
            with(r#""causationid":{}"#),
            "`causationid` is not valid: expected a string, a number or a boolean",
        ),
        (
            with(r#""dataversion":"1.0""#),
            "`dataversion` is not valid: expected a whole number from 0 to 4294967295",
        ),
        (
            with(r#""tenant":"\ud800""#),
            "`tenant` is not valid: expected a string of Unicode characters",
        ),
    ] {
        assert_eq!(refusal(&message), told, "{message}");
    }
}

#[test]
fn hops_that_cannot_be_counted_on() {
    for hops in
        ["-1", "65536", "1.5", "true", r#""""#, r#""many""#, r#""-1""#, "99999999999999999999"]
    {
        assert_eq!(
            refusal(with(&format!(r#""hops":{hops}"#))),
            "`hops` is not valid: expected a whole number from 0 to 65535",
        );
    }
}

#[test]
fn times_of_amqp_that_have_no_text() {
    let eternity = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40);
    for name in ["time", "moment"] {
        let mut properties = ["specversion", "id", "source", "type"]
            .map(|name| (format!("ce-{name}"), AttributeValue::String("1.0".into())))
            .to_vec();
        properties.push((format!("ce-{name}"), AttributeValue::Timestamp(eternity)));
        let properties = properties.iter().map(|(name, value)| (&**name, value.clone()));
        let codec = codec(Format::CloudEvents);
        let error = codec.decode_message(properties, b"{}", &Hint::default()).unwrap_err();
        assert_eq!(
            told(&error),
            format!(
                "`{name}` is not valid: expected a time such as `2018-04-05T17:31:00Z` (RFC 3339)"
            )
        );
    }
}

#[test]
fn whatever_is_there_twice() {
    for (members, name) in [
        (r#""id":"1""#, "id"),
        (r#""data":1,"data":1"#, "data"),
        (r#""data":1,"data_base64":"MQ==","datacontenttype":"application/json""#, "data"),
        (r#""tenant":"a","tenant":"a""#, "tenant"),
        (r#""tenant":"a","aurymetadata":"{\"headers\":{\"tenant\":\"b\"}}""#, "tenant"),
    ] {
        assert_eq!(refusal(with(members)), format!("`{name}` is there more than once"));
    }
    let message = r#"{"event_name":"a","data":1,"metadata":{"b":1,"headers":{"b":1}}}"#;
    assert_eq!(refusal(message), "`b` is there more than once");
    let properties =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("cloudEvents:id", "1"), ("ce-type", "a")];
    let error = decode_binary(&properties, "", "{}").unwrap_err();
    assert_eq!(told(&error), "`id` is there more than once");
}

#[test]
fn payloads_that_are_not_json() {
    let undeclared = refusal(with(r#""datacontenttype":"application/xml","data":{"a":1}"#));
    assert!(undeclared.starts_with("the data is declared as something else than JSON"));
    let base64 = "`data_base64` is not valid: expected text in base64 (RFC 4648 §4)";
    let json = |data| format!(r#""datacontenttype":"application/json","data_base64":{data}"#);
    assert_eq!(refusal(with(&json(r#""... base64 encoded string ...""#))), base64);
    assert_eq!(refusal(with(&json("[]"))), base64);
    assert!(refusal(with(&json(r#""AAAA""#))).starts_with("the payload is not valid JSON: "));

    let attributes =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "a")];
    for content_type in ["", "application/json"] {
        let error = decode_binary(&attributes, content_type, "<x/>").unwrap_err();
        let expected = "the payload is not valid JSON: expected value at line 1 column 1";
        assert_eq!(told(&error), expected);
    }
}

#[test]
fn messages_that_claim_to_be_a_cloudevent() {
    let bare = r#"{"id":"1","source":"/s","type":"a"}"#;
    assert!(decode(bare).is_ok());
    let error = decode_binary(&[], "application/cloudevents+json", bare).unwrap_err();
    assert!(told(&error).starts_with("`specversion` is missing"));
    let error = decode_binary(&[("ce-id", "1")], "application/json", "{}").unwrap_err();
    assert!(told(&error).starts_with("`specversion` is missing"));
}

#[test]
fn bare_objects_that_came_under_no_name_of_an_event() {
    let codec = codec(Format::CloudEvents);
    let error = codec.decode(b"{}", &Hint::named("order created")).unwrap_err();
    assert_eq!(
        told(&error),
        "the channel or routing key is not the name of an event: an event name consists of ASCII \
         letters, digits, `_`, `-` and dots"
    );
    let error = codec.decode(b"{}", &Hint::default()).unwrap_err();
    assert!(told(&error).starts_with("`type` is missing"));
}

#[test]
fn no_error_tells_what_the_message_holds() {
    let secret = "hunter2";
    for message in [
        format!(r#""{secret}""#),
        format!(r#"{{"a":"{secret}"#),
        with(&format!(r#""time":"{secret}""#)),
        with(&format!(r#""hops":"{secret}""#)),
        with(&format!(r#""id":"{secret}""#)),
        with(&format!(r#""tenant":"{secret}","tenant":"{secret}""#)),
        with(&format!(r#""causationid":"{secret}\n""#)),
        with(&format!(r#""causationid":["{secret}"]"#)),
        with(&format!(r#""datacontenttype":"{secret}","data":1"#)),
        with(&format!(r#""datacontenttype":"a/json","data_base64":"{secret}""#)),
        format!(r#"{{"event_name":"{secret} ","data":1}}"#),
    ] {
        let error = decode(&message).unwrap_err();
        assert!(!told(&error).contains(secret), "{error}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
}
