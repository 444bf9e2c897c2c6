//! What may be shown of a text that others had a part in.

use std::fmt::Display;

/// How many characters of the beginning are shown.
const HEAD: usize = 120;

/// How many characters of the end are shown: there, a parser's message says what it expected, and where.
const TAIL: usize = 100;

/// A message in a form fit for one line of a log: short, without control characters, whatever it quotes.
pub(crate) fn excerpt(message: &impl Display) -> String {
    let message = message.to_string();
    let mut escaped = String::with_capacity(message.len().min(4 * (HEAD + TAIL)));
    let mut chars = message.chars();
    push(&mut escaped, chars.by_ref().take(HEAD));
    let rest = chars.as_str();
    match rest.char_indices().rev().nth(TAIL - 1) {
        // An ellipsis takes some room itself.
        Some((start, _)) if start > 10 => {
            escaped.push('…');
            push(&mut escaped, rest[start..].chars());
        }
        _ => push(&mut escaped, rest.chars()),
    }
    escaped
}

fn push(text: &mut String, chars: impl Iterator<Item = char>) {
    for char in chars {
        // What a terminal or a viewer takes for an order: line ends, escapes, changes of direction.
        if char.is_control() || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            text.extend(char.escape_default());
        } else {
            text.push(char);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_keeps_its_beginning_and_its_end() {
        let long = format!("invalid type: string \"{}\", expected a boolean", "x".repeat(4 << 20));
        let shown = excerpt(&long);
        assert!(shown.len() < 300, "{} bytes", shown.len());
        assert!(shown.starts_with("invalid type: string \"xxx"));
        assert!(shown.contains('…') && shown.ends_with("\", expected a boolean"));
        assert_eq!(excerpt(&"short"), "short");
        let about = "é".repeat(HEAD + TAIL + 5);
        assert_eq!(excerpt(&about), about);
    }

    #[test]
    fn nothing_in_it_begins_a_line_or_moves_the_cursor() {
        assert_eq!(excerpt(&"a\r\nb\u{1b}[2J\u{202e}"), r"a\r\nb\u{1b}[2J\u{202e}");
    }
}
