//! The size of a message's header, which has to fit into one frame (AMQP 0-9-1 §4.2.6.1).
//!
//! The broker closes the whole connection over one that does not, and never says which message it was.

use lapin::types::{AMQPValue, FieldTable};

use super::{super::broker::FRAME_MAX, Message};
use crate::error::BackendError;

/// What the other properties may take, and what we add.
const OTHERS: usize = 8 * 1024;

/// # Errors
///
/// When the headers do not fit into a frame.
pub(super) fn check(message: &Message) -> Result<(), BackendError> {
    let Some(headers) = message.properties.headers() else { return Ok(()) };
    let (size, limit) = (table(headers), FRAME_MAX as usize - OTHERS);
    if size <= limit {
        return Ok(());
    }
    Err(BackendError::too_large(
        format!("RabbitMQ does not take {} with its headers", message.name()),
        format!("they have {size} bytes, and a frame has room for {limit}"),
    ))
}

fn table(table: &FieldTable) -> usize {
    let fields = table.inner().iter();
    4 + fields.map(|(name, field)| 1 + name.as_str().len() + value(field)).sum::<usize>()
}

/// A value with the octet of its type (§4.2.1).
fn value(field: &AMQPValue) -> usize {
    1 + match field {
        AMQPValue::Void => 0,
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::LongString(text) => 4 + text.as_bytes().len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.as_slice().len(),
        AMQPValue::FieldArray(values) => 4 + values.as_slice().iter().map(value).sum::<usize>(),
        AMQPValue::FieldTable(inner) => table(inner),
    }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;

    use super::*;

    fn message(text: usize) -> Message {
        let mut headers = FieldTable::default();
        headers.insert("note".into(), AMQPValue::LongString("x".repeat(text).into()));
        Message {
            exchange: "shop".into(),
            routing_key: "order.created".into(),
            properties: BasicProperties::default().with_headers(headers),
            body: Vec::new(),
            needs: None,
        }
    }

    #[test]
    fn headers_that_fit_into_no_frame_are_refused() {
        check(&message(100_000)).unwrap();
        let error = check(&message(130_000)).unwrap_err();
        assert!(error.is_too_large(), "{error}");
        assert!(error.to_string().contains("order.created"), "{error}");
    }
}
