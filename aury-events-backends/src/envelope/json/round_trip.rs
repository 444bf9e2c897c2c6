//! Whether a value comes back from its text.

use serde_json::Value;

use super::{super::EncodeError, excerpt};

/// Reads a text and writes what was read: it has to be the same, but for the order in which maps and sets are written,
/// which changes from one to the next.
pub(super) fn prove<T>(
    text: &[u8],
    read: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    write: impl FnOnce(&T) -> Result<Vec<u8>, EncodeError>,
) -> Result<(), EncodeError> {
    let value = read(text).map_err(|error| {
        EncodeError::new(format!("its own JSON text cannot be read back: {}", excerpt(&error)))
    })?;
    let again = write(&value)?;
    if again == text {
        return Ok(());
    }
    let mut values = [text, &again].map(|text| serde_json::from_slice(text).unwrap_or(Value::Null));
    values.iter_mut().for_each(in_order);
    match difference(&values[0], &values[1], &mut String::new()) {
        None => Ok(()),
        Some(field) => Err(EncodeError::new(format!("`{field}` does not come back as it was"))),
    }
}

/// Sorts all arrays. Objects are sorted by themselves.
fn in_order(value: &mut Value) {
    match value {
        Value::Array(values) => {
            values.iter_mut().for_each(in_order);
            values.sort_by_cached_key(Value::to_string);
        }
        Value::Object(members) => members.values_mut().for_each(in_order),
        _ => {}
    }
}

/// The first field in which two values differ.
fn difference(a: &Value, b: &Value, path: &mut String) -> Option<String> {
    let length = path.len();
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for ((name, a), b) in a.iter().zip(b.values()) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                let found = difference(a, b, path);
                path.truncate(length);
                if found.is_some() {
                    return found;
                }
            }
            None
        }
        _ if a == b => None,
        _ if path.is_empty() => Some("the event".to_owned()),
        _ => Some(excerpt(path)),
    }
}
