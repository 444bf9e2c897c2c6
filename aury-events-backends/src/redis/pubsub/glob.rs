//! From a pattern over event names to a pattern over channels.

use crate::envelope::Pattern;

/// The glob by which Redis selects at least all channels whose event names match.
///
/// A Redis glob knows no segments: its `*` stands for any text, so that more may come than the pattern means, and what
/// comes is compared with the pattern again. `#` may stand for no segment at all, and then its dot is missing too, so
/// a `*` takes the place of both.
pub(super) fn glob(prefix: &str, pattern: &Pattern) -> String {
    let mut glob = escaped(prefix);
    let mut segments = pattern.as_str().split('.').peekable();
    let mut needs_dot = false;
    while let Some(segment) = segments.next() {
        if segment == "#" {
            glob.push('*');
            needs_dot = false;
            continue;
        }
        if needs_dot {
            glob.push('.');
        }
        glob.push_str(segment);
        // The dot before a `#` is part of what may be missing.
        needs_dot = segments.peek() != Some(&"#");
    }
    glob
}

/// The text as a glob that matches it alone.
fn escaped(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            glob.push('\\');
        }
        glob.push(c);
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_selects_whatever_the_pattern_may_match() {
        for (pattern, expected) in [
            ("order.*", "events:order.*"),
            ("*", "events:*"),
            ("#", "events:*"),
            ("order.#", "events:order*"),
            ("#.created", "events:*created"),
            ("a.#.z", "events:a*z"),
            ("#.#", "events:**"),
            ("*.line.#.x", "events:*.line*x"),
        ] {
            assert_eq!(glob("events:", &Pattern::parse(pattern).unwrap()), expected);
        }
    }

    #[test]
    fn a_prefix_is_taken_to_the_letter() {
        let pattern = Pattern::parse("a").unwrap();
        assert_eq!(glob(r"sh*p[1]?\:", &pattern), r"sh\*p\[1\]\?\\:a");
    }
}
