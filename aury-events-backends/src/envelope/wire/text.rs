//! What text a CloudEvent may hold, and where.

use std::borrow::Cow;

use super::Attribute;

/// Whether `text` is the same in JSON but for the quotes around it.
pub(super) fn is_plain(text: &str) -> bool {
    // Without an early end, so that it is a few vector instructions.
    let needs_escape = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    !text.bytes().fold(false, |found, byte| found | needs_escape(byte))
}

/// Whether `text` is a value for an attribute (CloudEvents 1.0 §Type System, `String`): not empty, without control
/// characters and Unicode's noncharacters.
pub(super) fn is_attribute_value(text: &str) -> bool {
    let is_harmless = |byte: u8| matches!(byte, b' '..=b'~');
    if text.bytes().fold(true, |all, byte| all & is_harmless(byte)) {
        return !text.is_empty();
    }
    let is_noncharacter =
        |c: char| matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    !text.chars().any(|c| c.is_control() || is_noncharacter(c))
}

/// Whether a header can be an attribute of that name (CloudEvents 1.0 §Naming Conventions), for which nobody else has
/// a use.
pub(super) fn is_extension(name: &str, value: &str) -> bool {
    let is_name = matches!(name.len(), 1..=20)
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'));
    let is_free = name != "data" && Attribute::named(name).is_none();
    // Of the other attributes in the standard, `subject` takes any text.
    let is_fitting = name != "dataschema" || is_uri(value);
    is_name && is_free && is_fitting && is_attribute_value(value)
}

/// Whether a content type declares JSON (CloudEvents 1.0 JSON format §3.1.1): `*/json` or `*/*+json`, with or without
/// parameters.
pub(super) fn is_json(content_type: &str) -> bool {
    let ends_with = |text: &str, end: &str| {
        text.len() > end.len()
            && text.as_bytes()[text.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
    };
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    match media_type.split_once('/') {
        Some((kind, subtype)) => {
            !kind.is_empty()
                && (subtype.eq_ignore_ascii_case("json") || ends_with(subtype, "+json"))
        }
        None => false,
    }
}

/// Whether a content type is one: a type and a subtype (RFC 2045 §5.1), with or without parameters.
pub(super) fn is_media_type(content_type: &str) -> bool {
    let is_token = |text: &str| {
        let is_special = |byte| b"()<>@,;:\\\"/[]?=".contains(&byte);
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !is_special(byte))
    };
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// Whether a content type declares text that is no JSON: `text/*`, or XML.
pub(super) fn is_text(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    media_type.starts_with("text/")
        || media_type == "application/xml"
        || media_type.ends_with("+xml")
}

/// Whether a content type says that the message is a CloudEvent in structured mode (CloudEvents 1.0 AMQP binding §3).
pub(super) fn is_cloudevent(content_type: &str) -> bool {
    const PREFIX: &[u8] = b"application/cloudevents";
    let start = content_type.as_bytes().get(..PREFIX.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Whether `text` has only what a URI reference may have (RFC 3986 §4.1), and has something.
pub(super) fn is_uri_reference(text: &str) -> bool {
    !text.is_empty() && uri_length(text) == text.len()
}

/// Whether it has a scheme, too.
fn is_uri(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    is_uri_reference(text) && text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// Makes a URI reference of any text: what it may not have is percent-encoded, as RFC 3987 §3.1 does.
pub(super) fn to_uri_reference(text: Cow<'_, str>) -> Cow<'_, str> {
    if uri_length(&text) == text.len() {
        return text;
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    let mut rest = &*text;
    loop {
        let (valid, invalid) = rest.split_at(uri_length(rest));
        encoded.push_str(valid);
        let Some(c) = invalid.chars().next() else { return encoded.into() };
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            encoded.push('%');
            encoded.extend([byte >> 4, byte & 0xf].map(|digit| HEX[usize::from(digit)]));
        }
        rest = &invalid[c.len_utf8()..];
    }
}

const HEX: [char; 16] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

/// How much of the text's start may be part of a URI reference.
fn uri_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let is_valid = |(at, &byte): (usize, &u8)| match byte {
        b'%' => is_hex(at + 1) && is_hex(at + 2),
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
        _ => byte.is_ascii_graphic(),
    };
    bytes.iter().enumerate().position(|it| !is_valid(it)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_holds_text_without_control_characters() {
        for good in ["a", " ", "größe", "\u{1f600}", "\u{fffd}", "a\u{a0}b", "\u{10fffd}"] {
            assert!(is_attribute_value(good), "{good:?}");
        }
        for bad in [
            "",
            "\0",
            "a\n",
            "\u{7f}",
            "\u{80}",
            "é\u{9f}",
            "é\n",
            "\u{fdd0}",
            "\u{fffe}",
            "\u{1ffff}",
        ] {
            assert!(!is_attribute_value(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_header_is_an_extension_if_name_and_value_allow_it() {
        for (name, value) in [
            ("tenant", "a"),
            ("a", "a"),
            ("0", "a"),
            ("abcdefghij0123456789", "a"),
            ("subject", "order 17"),
            ("dataschema", "https://shop.example/order.json"),
        ] {
            assert!(is_extension(name, value), "{name}");
        }
        for (name, value) in [
            ("", "a"),
            ("Tenant", "a"),
            ("x-tenant", "a"),
            ("größe", "a"),
            ("abcdefghij01234567890", "a"),
            ("tenant", ""),
            ("tenant", "a\n"),
            ("id", "a"),
            ("time", "a"),
            ("data", "a"),
            ("hops", "0"),
            ("traceparent", "a"),
            ("dataschema", "no URI"),
            ("dataschema", "/order.json"),
        ] {
            assert!(!is_extension(name, value), "{name}");
        }
    }

    #[test]
    fn json_is_a_subtype_or_a_suffix() {
        for json in [
            "application/json",
            "text/json",
            "APPLICATION/JSON; charset=utf-8",
            "application/vnd.shop.order+json",
            "application/cloudevents+json",
            " application/json ;a=b",
        ] {
            assert!(is_json(json), "{json}");
        }
        for other in
            ["", "json", "/json", "application/xml", "application/jsonp", "a/+json", "a/é+jso"]
        {
            assert!(!is_json(other), "{other}");
        }
        assert!(is_cloudevent("Application/CloudEvents+JSON; charset=UTF-8"));
        assert!(!is_cloudevent("application/json") && !is_cloudevent("application/cloudé"));
    }

    #[test]
    fn any_text_becomes_a_uri_reference_and_a_uri_reference_stays_itself() {
        for uri in ["/shop", "https://[::1]:80/a%20b?c=d&e#f", "urn:uuid:1", "1-555-123-4567", "~"]
        {
            assert!(is_uri_reference(uri));
            assert_eq!(to_uri_reference(uri.into()), uri);
        }
        for (text, uri) in [
            ("my shop", "my%20shop"),
            ("größe", "gr%C3%B6%C3%9Fe"),
            ("100%", "100%25"),
            ("%zz", "%25zz"),
            ("a\0<b>\\", "a%00%3Cb%3E%5C"),
            ("\u{1f600}", "%F0%9F%98%80"),
        ] {
            assert!(!is_uri_reference(text));
            assert_eq!(to_uri_reference(text.into()), uri);
            assert!(is_uri_reference(uri));
        }
    }
}
