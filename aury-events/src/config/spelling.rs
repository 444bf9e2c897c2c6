//! Settings by the name the user knows them by: an environment variable, or a setter.

use std::fmt;

use crate::declared::DEFAULT_BUS;

/// How somebody has set something. Its `Display` is for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// By an environment variable.
    Variable(String),
    /// By a setter of a [`BusConfig`](super::BusConfig) or, without a bus, of the manager's builder.
    Setter { bus: Option<String>, field: &'static str },
    /// By [`BusConfig::setting`](super::BusConfig::setting).
    Setting { bus: String, field: &'static str },
}

/// The usual spelling of the variable that sets a field of a bus.
pub(super) fn variable_name(bus: &str, field: &str) -> String {
    match bus {
        DEFAULT_BUS => format!("EVENT_{field}"),
        _ => format!("EVENT_{}_{field}", bus.to_ascii_uppercase()),
    }
}

impl fmt::Display for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "`{name}`"),
            Self::Setting { bus, field } => write!(f, "the setting `{field}` of bus `{bus}`"),
            Self::Setter { bus, field } => {
                write!(f, "`.{}(..)`", field.to_ascii_lowercase())?;
                bus.iter().try_for_each(|bus| write!(f, " of bus `{bus}`"))
            }
        }
    }
}
