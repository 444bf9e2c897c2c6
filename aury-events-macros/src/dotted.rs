//! An event's name from its type's name: `OrderCreatedEvent` is `order.created`.

/// The words of a type's name in lower case, joined by dots, without a trailing `Event`.
///
/// `None` when nothing is left, or when the name's letters do not go into an event's name.
pub(crate) fn dotted(type_name: &str) -> Option<String> {
    if !type_name.is_ascii() {
        return None;
    }
    let mut words = words(type_name);
    if words.last().is_some_and(|word| word == "event") {
        words.pop();
    }
    (!words.is_empty()).then(|| words.join("."))
}

/// Splits where a reader does: before a capital that starts a word, and at underscores.
fn words(type_name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut letters = type_name.chars().peekable();
    let mut previous = '_';
    while let Some(letter) = letters.next() {
        let next_is_small = letters.peek().is_some_and(char::is_ascii_lowercase);
        // In `HTTPRequest` the `R` starts a word and the `P` does not.
        let starts_word =
            letter.is_ascii_uppercase() && (!previous.is_ascii_uppercase() || next_is_small);
        if starts_word || letter == '_' {
            words.push(std::mem::take(&mut word));
        }
        if letter != '_' {
            word.push(letter.to_ascii_lowercase());
        }
        previous = letter;
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        for (type_name, name) in [
            ("OrderCreated", "order.created"),
            ("OrderCreatedEvent", "order.created"),
            ("HTTPRequestReceived", "http.request.received"),
            ("UserID", "user.id"),
            ("S3ObjectStored", "s3.object.stored"),
            ("OrderV2Created", "order.v2.created"),
            ("Sha256Computed", "sha256.computed"),
            ("SHA256Computed", "sha256.computed"),
            ("Order_Created", "order.created"),
            ("ORDER_CREATED_EVENT", "order.created"),
            ("order_created", "order.created"),
            ("Prevented", "prevented"),
            ("EventStored", "event.stored"),
            ("EventEvent", "event"),
        ] {
            assert_eq!(dotted(type_name).as_deref(), Some(name), "{type_name}");
        }
    }

    #[test]
    fn some_names_have_to_be_written() {
        for type_name in ["Event", "__", "Prüfung"] {
            assert_eq!(dotted(type_name), None, "{type_name}");
        }
    }
}
