//! Names on a server.

/// What joins a service and a subscriber: neither may hold it, and neither may the name of an event.
pub const SEPARATOR: char = '/';

/// What a subscriber of a service is called on a server: no two have one name, and no event has it.
///
/// What a backend stores beside the events needs such a character in its name, too.
pub fn subscriber_name(service: &str, subscriber: &str) -> String {
    format!("{service}{SEPARATOR}{subscriber}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::EventName;

    #[test]
    fn no_two_subscribers_and_no_event_have_one_name() {
        assert_ne!(subscriber_name("shop.eu", "mail"), subscriber_name("shop", "eu.mail"));
        assert!(EventName::parse(&subscriber_name("shop", "mail")).is_err());
    }
}
