//! Which subscribers a process runs.

/// Globs over the ids of subscribers, of which one has to match.
///
/// In a glob, `*` stands for any run of characters, none included; all else stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriberFilter {
    globs: Vec<String>,
}

impl SubscriberFilter {
    /// Reads globs that are separated by commas. `none`, alone, selects nothing. Blank entries are ignored, and
    /// nothing but those selects everything, as the default does.
    pub(crate) fn parse(text: &str) -> Self {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let globs: Vec<String> = entries.map(str::to_owned).collect();
        match globs.as_slice() {
            [] => Self::default(),
            [none] if none == "none" => Self { globs: Vec::new() },
            _ => Self { globs },
        }
    }

    /// Whether the subscriber of that id is to run.
    pub(crate) fn selects(&self, id: &str) -> bool {
        self.globs().any(|glob| Self::matches(glob, id))
    }

    /// The globs one by one, to find those that match nothing.
    pub(crate) fn globs(&self) -> impl Iterator<Item = &str> {
        self.globs.iter().map(String::as_str)
    }

    /// Whether a glob matches an id, in time linear in the two.
    pub(crate) fn matches(glob: &str, id: &str) -> bool {
        let Some((head, rest)) = glob.split_once('*') else {
            return glob == id;
        };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut id) = id.strip_prefix(head).and_then(|id| id.strip_suffix(tail)) else {
            return false;
        };
        // The first occurrence of each part is the best: it leaves the most for those that follow.
        middle.split('*').all(|part| match id.split_once(part) {
            Some((_, after)) => {
                id = after;
                true
            }
            None => false,
        })
    }
}

impl Default for SubscriberFilter {
    /// Everything.
    fn default() -> Self {
        Self { globs: vec!["*".to_owned()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (glob, id, matches) in [
            ("*", "", true),
            ("*", "shop::mail::send", true),
            ("shop::mail::send", "shop::mail::send", true),
            ("shop::mail::send", "shop::mail::send_all", false),
            ("shop::*", "shop::mail::send", true),
            ("shop::*", "workshop::mail", false),
            ("*::send", "shop::mail::send", true),
            ("*::send", "shop::mail::send_all", false),
            ("shop::*::send", "shop::mail::send", true),
            ("shop::*::send", "shop::send", false),
            ("*mail*", "shop::mail::send", true),
            ("*mail*send", "shop::send::mail", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("**", "x", true),
            ("a**b", "ab", true),
            ("a?c", "abc", false),
            ("", "x", false),
            ("größe*", "größe::x", true),
        ] {
            assert_eq!(SubscriberFilter::matches(glob, id), matches, "{glob} on {id}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_their_length() {
        let (glob, id) = ("*a".repeat(10_000) + "*b", "a".repeat(100_000));
        assert!(!SubscriberFilter::matches(&glob, &id));
    }

    #[test]
    fn one_glob_of_several_has_to_match() {
        let filter = SubscriberFilter::parse(" shop::mail::* ,, stock::count,");
        assert_eq!(filter.globs().collect::<Vec<_>>(), ["shop::mail::*", "stock::count"]);
        assert!(filter.selects("shop::mail::send") && filter.selects("stock::count"));
        assert!(!filter.selects("shop::pay"));
    }

    #[test]
    fn none_selects_nothing_and_nothing_selects_all() {
        assert!(!SubscriberFilter::parse("none").selects("none"));
        assert!(SubscriberFilter::parse("").selects("shop::pay"));
        assert!(SubscriberFilter::parse(" , ").selects("shop::pay"));
        assert_eq!(SubscriberFilter::default(), SubscriberFilter::parse("*"));
    }
}
