//! Properties: nothing is lost on the way, and nothing that comes in does harm.

use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    any::{
        NAMES, Value, any_event, any_fault, any_json, any_metadata, any_text, any_value,
        nearly_a_message,
    },
    strict::assert_valid,
    *,
};
use crate::envelope::{EventName, Metadata, Payload};

const FORMATS: [Format; 2] = [Format::CloudEvents, Format::Aury];

/// What has been read can be written, in both formats, and is the same event when it is read again.
fn check(read: Result<Envelope, WireError>) -> Result<(), TestCaseError> {
    let Ok(event) = read else { return Ok(()) };
    for format in FORMATS {
        let bytes = codec(format).encode(&event).unwrap();
        let again = codec(format).decode(&bytes, &Hint::default()).unwrap();
        prop_assert_eq!(facts(&again), facts(&event), "{}", format);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_event_comes_back_as_it_was(event in any_event()) {
        for format in FORMATS {
            let bytes = codec(format).encode(&event).unwrap();
            for hint in [Hint::default(), Hint::event(event.metadata().name()), Hint::named("?")] {
                let back = codec(format).decode(&bytes, &hint).unwrap();
                prop_assert_eq!(facts(&back), facts(&event), "{}", format);
            }
        }
    }

    #[test]
    fn any_value_comes_back_as_it_was(text in any_text(), number in any::<f64>(), list in any::<Vec<u64>>()) {
        let value = (text, Some(number).filter(|it| it.is_finite()), list);
        let metadata = Metadata::new(EventName::from_static("a"), 1, "/s", None);
        let event = Envelope::new(metadata, Payload::Typed(Arc::new(value.clone())));
        for format in FORMATS {
            let bytes = codec(format).encode(&event).unwrap();
            let back = codec(format).decode(&bytes, &Hint::default()).unwrap();
            prop_assert_eq!(&*back.payload().decode::<(String, Option<f64>, Vec<u64>)>().unwrap(), &value);
        }
    }

    #[test]
    fn any_event_is_written_to_the_letter(metadata in any_metadata(), value in any_text()) {
        let payload = Payload::Typed(Arc::new(value));
        let event = Envelope::new(metadata, payload);
        assert_valid(&codec(Format::CloudEvents).encode(&event).unwrap());
    }

    #[test]
    fn any_bytes_are_an_event_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        check(decode(bytes))?;
    }

    #[test]
    fn any_json_is_an_event_or_an_error(json in any_json()) {
        check(decode(json))?;
    }

    #[test]
    fn anything_like_a_message_is_an_event_or_an_error(message in nearly_a_message()) {
        check(decode(message))?;
    }

    #[test]
    fn any_faulty_message_is_an_event_or_an_error(
        event in any_event(),
        format in select(&FORMATS[..]),
        faults in vec(any_fault(), 1..4),
    ) {
        let mut message = codec(format).encode(&event).unwrap();
        faults.iter().for_each(|fault| fault.happen(&mut message));
        check(decode(message))?;
    }

    #[test]
    fn any_properties_are_an_event_or_an_error(
        body in prop_oneof![any_json(), any_text()],
        content_type in option::of(select(vec!["application/json", "text/xml", "", "a/b+json"])),
        properties in vec((select(&NAMES[..]), any_value()), 0..12),
        is_complete in any::<bool>(),
    ) {
        let mut properties = properties;
        if is_complete {
            for (name, value) in [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "a")] {
                properties.retain(|(known, _)| *known != name);
                properties.push((name, Value::Text(value.to_owned())));
            }
        }
        let names: Vec<_> = properties.iter().map(|(name, _)| format!("ce-{name}")).collect();
        let values = properties.iter().map(|(_, value)| value.as_attribute());
        let properties = names.iter().map(String::as_str).zip(values);
        let mut hint = Hint::named("a");
        if let Some(content_type) = content_type {
            hint = hint.content_type(content_type);
        }
        check(codec(Format::CloudEvents).decode_message(properties, body.as_bytes(), &hint))?;
    }
}
