//! What is wrong with a configuration.

use std::{error::Error, fmt};

use aury_events_backends::config::BusUrl;

use super::{bus::RefusedUrl, setting::Setting};

/// One thing that is wrong with a configuration: where, what, and what would be right.
///
/// Neither `Display` nor `Debug` shows a password.
#[derive(Debug, Clone)]
pub struct ConfigProblem {
    setting: Setting,
    reason: Box<Reason>,
}

#[derive(Debug, Clone)]
enum Reason {
    Value { shown: String, expected: String },
    NotUnicode,
    TwoSpellings { other: String },
    RefusedUrl(RefusedUrl),
    NoUrl { backend: &'static str, example: &'static str },
    UnfitUrl { url: BusUrl, backend: &'static str, schemes: &'static [&'static str] },
    UnknownScheme { url: BusUrl, backend: Setting, schemes: Vec<&'static str> },
}

impl ConfigProblem {
    fn new(setting: Setting, reason: Reason) -> Self {
        Self { setting, reason: Box::new(reason) }
    }

    /// A value that is none of those that are valid. `expected` is what [`values`](super::values) say.
    pub(super) fn value(setting: Setting, value: &str, expected: String) -> Self {
        Self::new(setting, Reason::Value { shown: shown(value), expected })
    }

    pub(super) fn not_unicode(setting: Setting) -> Self {
        Self::new(setting, Reason::NotUnicode)
    }

    /// Two variables that set one thing to different values.
    pub(super) fn two_spellings(setting: Setting, other: String) -> Self {
        Self::new(setting, Reason::TwoSpellings { other })
    }

    pub(super) fn refused_url(setting: Setting, url: RefusedUrl) -> Self {
        Self::new(setting, Reason::RefusedUrl(url))
    }

    /// No URL for a backend that needs one.
    pub(super) fn no_url(setting: Setting, backend: &'static str, example: &'static str) -> Self {
        Self::new(setting, Reason::NoUrl { backend, example })
    }

    /// A URL for a backend that cannot use it: it takes others, or none.
    pub(super) fn unfit_url(
        setting: Setting,
        url: BusUrl,
        backend: &'static str,
        schemes: &'static [&'static str],
    ) -> Self {
        Self::new(setting, Reason::UnfitUrl { url, backend, schemes })
    }

    /// A URL that means no backend by itself, where `backend` is not set.
    pub(super) fn unknown_scheme(
        setting: Setting,
        url: BusUrl,
        backend: Setting,
        schemes: Vec<&'static str>,
    ) -> Self {
        Self::new(setting, Reason::UnknownScheme { url, backend, schemes })
    }
}

/// A value as a message may show it: a URL in the wrong place is masked, what may hold a password is left out, and
/// the rest is cut short.
fn shown(value: &str) -> String {
    if let Ok(url) = BusUrl::parse(value) {
        return format!("`{url}`");
    }
    let length = value.chars().count();
    if value.contains("://") || value.contains('@') {
        return format!("a text of {length} characters (not shown)");
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
            Reason::RefusedUrl(RefusedUrl { length, reason }) => {
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

impl Error for ConfigProblem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.reason {
            Reason::RefusedUrl(url) => Some(&url.reason),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_in_the_wrong_variable_is_masked() {
        assert_eq!(shown("redis://shop:pw@host"), "`redis://shop:***@host`");
        assert_eq!(shown("shop:pw@host"), "a text of 12 characters (not shown)");
        assert_eq!(shown("redis://shop:p/w@host"), "a text of 21 characters (not shown)");
    }

    #[test]
    fn a_value_is_shown_on_one_line_of_bearable_length() {
        assert_eq!(shown("a\nb"), "`a\\nb`");
        assert_eq!(shown(&"x".repeat(1000)), format!("`{}…`", "x".repeat(60)));
    }
}
