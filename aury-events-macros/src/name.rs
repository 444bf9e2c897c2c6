//! The rules for what users name: events, patterns over them, subscribers and buses.
//!
//! Each function takes the literal and gives it back when it is right, so that what the macros emit
//! has been through here.

use syn::{Error, LitStr, Result};

use crate::errors::Verdict;

/// Room enough, and short enough for every backend's topics and queues, prefixes included.
const MAX_BYTES: usize = 200;

/// An event's name: segments of letters, digits, `_` and `-`, joined by dots.
pub(crate) fn event_name(name: LitStr) -> Result<LitStr> {
    check(name, "an event's name", |what, text| {
        if let Some(wildcard) = text.chars().find(is_wildcard) {
            return Err(format!(
                "{what} has no wildcards: `{wildcard}` belongs in a subscriber's `pattern`"
            ));
        }
        letters_digits_and(&['_', '-', '.'], what, text)?;
        no_empty_segment(what, text)
    })
}

/// A pattern over event names, by the rules of AMQP 0-9-1 §3.1.3.3 for topics.
pub(crate) fn pattern(pattern: LitStr) -> Result<LitStr> {
    check(pattern, "a pattern", |what, text| {
        letters_digits_and(&['_', '-', '.', '*', '#'], what, text)?;
        no_empty_segment(what, text)?;
        text.split('.').try_for_each(whole_wildcard)
    })
}

/// A subscriber's id, which may look like the path of a function.
pub(crate) fn subscriber_name(name: LitStr) -> Result<LitStr> {
    check(name, "a subscriber's name", |what, text| {
        letters_digits_and(&['_', '-', '.', ':'], what, text)
    })
}

/// A bus's name, which is also the `DOMAIN` in `EVENT_DOMAIN_URL`.
pub(crate) fn bus_name(name: LitStr) -> Result<LitStr> {
    check(name, "a bus's name", |what, text| {
        letters_digits_and(&['_'], what, text)?;
        match text.to_ascii_lowercase() {
            lower if lower == text => Ok(()),
            lower => Err(format!("{what} is in lower case{}", instead(lower))),
        }
    })
}

fn check(literal: LitStr, what: &str, rules: impl FnOnce(&str, &str) -> Verdict) -> Result<LitStr> {
    let text = literal.value();
    let verdict = match text.len() {
        0 => Err(format!("{what} cannot be empty")),
        1..=MAX_BYTES => rules(what, &text),
        long => Err(format!("{what} has at most {MAX_BYTES} bytes, and this one has {long}")),
    };
    match verdict {
        Ok(()) => Ok(literal),
        Err(message) => Err(Error::new(literal.span(), message)),
    }
}

fn letters_digits_and(others: &[char], what: &str, text: &str) -> Verdict {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || others.contains(c);
    let Some((index, wrong)) = text.chars().enumerate().find(|(_, c)| !allowed(c)) else {
        return Ok(());
    };
    let obvious = text.chars().all(|c| allowed(&c) || c.is_ascii_punctuation() || c == ' ');
    let suggestion = if allowed(&'.') {
        rejoined(text, ".", |c| c == '.' || !allowed(&c))
    } else {
        rejoined(text, "_", |c| !allowed(&c))
    };
    Err(format!(
        "{what} is made of ASCII letters, digits and {}, but character {} is {wrong:?}{}",
        others.iter().map(|other| format!("`{other}`")).collect::<Vec<_>>().join(" "),
        index + 1,
        if obvious { instead(suggestion) } else { String::new() },
    ))
}

fn no_empty_segment(what: &str, text: &str) -> Verdict {
    let found = if text.starts_with('.') {
        "this one starts with a dot"
    } else if text.ends_with('.') {
        "this one ends with a dot"
    } else if text.contains("..") {
        "this one has two dots in a row"
    } else {
        return Ok(());
    };
    let suggestion = rejoined(text, ".", |c| c == '.');
    Err(format!("{what} has no empty segments, but {found}{}", instead(suggestion)))
}

fn whole_wildcard(segment: &str) -> Verdict {
    match segment.chars().find(is_wildcard) {
        Some('*') if segment.len() > 1 => {
            Err(format!("`*` stands for a whole segment, not for a part of one as in `{segment}`"))
        }
        Some(_) if segment.len() > 1 => Err(format!(
            "`#` stands for any number of whole segments, not for a part of one as in `{segment}`"
        )),
        _ => Ok(()),
    }
}

fn is_wildcard(character: &char) -> bool {
    matches!(character, '*' | '#')
}

fn rejoined(text: &str, with: &str, separator: impl Fn(char) -> bool) -> String {
    text.split(separator).filter(|piece| !piece.is_empty()).collect::<Vec<_>>().join(with)
}

fn instead(suggestion: String) -> String {
    match suggestion.as_str() {
        "" => suggestion,
        _ => format!(": write {suggestion:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    fn refusal(rule: fn(LitStr) -> Result<LitStr>, text: &str) -> String {
        rule(LitStr::new(text, Span::call_site())).map(drop).expect_err("it is refused").to_string()
    }

    fn accepts(rule: fn(LitStr) -> Result<LitStr>, texts: &[&str]) {
        for text in texts {
            assert!(rule(LitStr::new(text, Span::call_site())).is_ok(), "{text}");
        }
    }

    #[test]
    fn names_that_keep_the_rules_are_accepted() {
        let longest = "a".repeat(200);
        accepts(event_name, &["order", "order.created", "Order-2.line_item", &longest]);
        accepts(pattern, &["#", "*", "order.*", "*.created.#", "order.created", &longest]);
        accepts(subscriber_name, &["shop::mail::send", "mail", "shop.mail-2", &longest]);
        accepts(bus_name, &["domain", "orders_2"]);
    }

    #[test]
    fn an_event_name_is_refused_with_what_to_write_instead() {
        assert_eq!(refusal(event_name, ""), "an event's name cannot be empty");
        assert_eq!(
            refusal(event_name, &"a".repeat(201)),
            "an event's name has at most 200 bytes, and this one has 201"
        );
        assert_eq!(
            refusal(event_name, "order created"),
            "an event's name is made of ASCII letters, digits and `_` `-` `.`, \
             but character 6 is ' ': write \"order.created\""
        );
        assert_eq!(
            refusal(event_name, "commandé.créée"),
            "an event's name is made of ASCII letters, digits and `_` `-` `.`, \
             but character 8 is 'é'"
        );
        assert_eq!(
            refusal(event_name, "order.*"),
            "an event's name has no wildcards: `*` belongs in a subscriber's `pattern`"
        );
    }

    #[test]
    fn an_empty_segment_is_located() {
        assert_eq!(
            refusal(event_name, "order..created"),
            "an event's name has no empty segments, but this one has two dots in a row: \
             write \"order.created\""
        );
        assert_eq!(
            refusal(pattern, ".order"),
            "a pattern has no empty segments, but this one starts with a dot: write \"order\""
        );
        assert_eq!(
            refusal(event_name, "."),
            "an event's name has no empty segments, but this one starts with a dot"
        );
    }

    #[test]
    fn a_wildcard_is_a_whole_segment() {
        assert_eq!(
            refusal(pattern, "order.cre*"),
            "`*` stands for a whole segment, not for a part of one as in `cre*`"
        );
        assert_eq!(
            refusal(pattern, "order.##"),
            "`#` stands for any number of whole segments, not for a part of one as in `##`"
        );
        assert_eq!(
            refusal(pattern, "order/*"),
            "a pattern is made of ASCII letters, digits and `_` `-` `.` `*` `#`, \
             but character 6 is '/': write \"order.*\""
        );
    }

    #[test]
    fn a_bus_is_named_as_an_environment_variable_can_name_it() {
        assert_eq!(
            refusal(bus_name, "orders-eu"),
            "a bus's name is made of ASCII letters, digits and `_`, but character 7 is '-': \
             write \"orders_eu\""
        );
        assert_eq!(refusal(bus_name, "Domain"), "a bus's name is in lower case: write \"domain\"");
    }

    #[test]
    fn a_subscriber_name_has_no_spaces() {
        assert_eq!(
            refusal(subscriber_name, "send mail"),
            "a subscriber's name is made of ASCII letters, digits and `_` `-` `.` `:`, \
             but character 5 is ' ': write \"send.mail\""
        );
    }
}
