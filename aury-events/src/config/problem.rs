//! What is wrong with a configuration.

use std::{error::Error, fmt};

use aury_events_backends::{
    BackendFactory,
    config::{BusUrl, InvalidUrl},
};

use super::spelling::Spelling;

/// One thing that is wrong with a configuration: where, what, and what would be right.
///
/// Neither `Display` nor `Debug` shows a password.
#[derive(Debug, Clone)]
pub struct ConfigProblem {
    setting: Spelling,
    reason: Box<Reason>,
}

#[derive(Debug, Clone)]
enum Reason {
    Value { shown: String, expected: String },
    NotUnicode,
    TwoSpellings { other: String },
    Incomplete { missing: Spelling },
    RefusedUrl { length: usize, reason: InvalidUrl },
    NoUrl { backend: &'static str, example: &'static str },
    UnfitUrl { url: BusUrl, backend: &'static str, schemes: &'static [&'static str] },
    UnknownScheme { url: BusUrl, backend: Spelling, schemes: Vec<&'static str> },
    Ambiguous { url: BusUrl, backend: Spelling, meant: Vec<&'static str> },
}

impl ConfigProblem {
    fn new(setting: Spelling, reason: Reason) -> Self {
        Self { setting, reason: Box::new(reason) }
    }

    /// A value that is none of those that are valid. `expected` says which are.
    pub(super) fn value(setting: Spelling, value: &str, is_secret: bool, expected: String) -> Self {
        Self::new(setting, Reason::Value { shown: shown(value, is_secret), expected })
    }

    /// A setting that another one has to stand beside.
    pub(super) fn incomplete(setting: Spelling, missing: Spelling) -> Self {
        Self::new(setting, Reason::Incomplete { missing })
    }

    pub(super) fn not_unicode(setting: Spelling) -> Self {
        Self::new(setting, Reason::NotUnicode)
    }

    /// Two variables that set one thing to different values.
    pub(super) fn two_spellings(setting: Spelling, other: String) -> Self {
        Self::new(setting, Reason::TwoSpellings { other })
    }

    /// A URL that did not parse. Its text may be a secret, so that only its length is kept.
    pub(super) fn refused_url(setting: Spelling, length: usize, reason: InvalidUrl) -> Self {
        Self::new(setting, Reason::RefusedUrl { length, reason })
    }

    /// No URL for a backend that needs one.
    pub(super) fn no_url(setting: Spelling, backend: &BackendFactory) -> Self {
        let (backend, example) = (backend.name(), backend.example_url());
        Self::new(setting, Reason::NoUrl { backend, example })
    }

    /// A URL for a backend that cannot use it: it takes others, or none.
    pub(super) fn unfit_url(setting: Spelling, url: BusUrl, backend: &BackendFactory) -> Self {
        let (backend, schemes) = (backend.name(), backend.schemes());
        Self::new(setting, Reason::UnfitUrl { url, backend, schemes })
    }

    /// A URL that means several backends, where `backend` is not set.
    pub(super) fn ambiguous(
        setting: Spelling,
        url: BusUrl,
        backend: Spelling,
        meant: Vec<&'static str>,
    ) -> Self {
        Self::new(setting, Reason::Ambiguous { url, backend, meant })
    }

    /// A URL that means no backend by itself, where `backend` is not set.
    pub(super) fn unknown_scheme(
        setting: Spelling,
        url: BusUrl,
        backend: Spelling,
        schemes: Vec<&'static str>,
    ) -> Self {
        Self::new(setting, Reason::UnknownScheme { url, backend, schemes })
    }
}

/// A value as a message may show it: a URL in the wrong place is masked, what may hold a password is left out, and
/// the rest is cut short.
pub(super) fn shown(value: &str, is_secret: bool) -> String {
    let length = value.chars().count();
    let hidden = || format!("a text of {length} characters (not shown)");
    if is_secret {
        return hidden();
    }
    if let Ok(url) = BusUrl::parse(value) {
        return format!("`{url}`");
    }
    if value.contains("://") || value.contains('@') {
        return hidden();
    }
    let cut: String = value.chars().take(60).collect();
    format!("`{}{}`", cut.escape_debug(), if length > 60 { "…" } else { "" })
}

/// Schemes for a message: `a://`, `b://` or `c://`.
fn alternatives(schemes: &[&str]) -> String {
    let quoted: Vec<_> = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, reason } = self;
        match &**reason {
            Reason::Value { shown, expected } => write!(f, "{setting} is {shown}: {expected}"),
            Reason::NotUnicode => write!(f, "{setting} is not valid Unicode: expected UTF-8 text"),
            Reason::TwoSpellings { other } => write!(
                f,
                "{setting} and `{other}` set one thing to different values: keep one of them"
            ),
            Reason::Incomplete { missing } => write!(f, "{setting} needs {missing} beside it"),
            Reason::Ambiguous { url, backend, meant } => write!(
                f,
                "{setting} is `{url}`, which means the backend `{}`: choose one by {backend}",
                meant.join("` as well as `")
            ),
            Reason::RefusedUrl { length, reason } => {
                write!(f, "{setting} ({length} characters, not shown) is no usable URL: {reason}")
            }
            Reason::NoUrl { backend, example } => write!(
                f,
                "{setting} is not set: backend `{backend}` needs a URL such as `{example}`"
            ),
            Reason::UnfitUrl { url, backend, schemes: [] } => write!(
                f,
                "{setting} is `{url}`, but backend `{backend}` takes no URL: \
                 remove it, or choose another backend"
            ),
            Reason::UnfitUrl { url, backend, schemes } => write!(
                f,
                "{setting} is `{url}`, but backend `{backend}` expects a URL that begins with {}",
                alternatives(schemes)
            ),
            Reason::UnknownScheme { url, backend, schemes } => write!(
                f,
                "{setting} is `{url}`, which says no backend: expected {}, or {backend} beside it",
                alternatives(schemes)
            ),
        }
    }
}

impl Error for ConfigProblem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_in_the_wrong_variable_is_masked() {
        assert_eq!(shown("redis://shop:pw@host", false), "`redis://shop:***@host`");
        assert_eq!(shown("shop:pw@host", false), "a text of 12 characters (not shown)");
        assert_eq!(shown("redis://shop:p/w@host", false), "a text of 21 characters (not shown)");
    }

    #[test]
    fn a_value_is_shown_on_one_line_of_bearable_length() {
        assert_eq!(shown("a\nb", false), "`a\\nb`");
        assert_eq!(shown(&"x".repeat(1000), false), format!("`{}…`", "x".repeat(60)));
    }
}
