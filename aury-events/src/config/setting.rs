//! Settings by the name the user knows them by: an environment variable, or a setter.

use std::{collections::BTreeMap, fmt};

use crate::declared::DEFAULT_BUS;

/// Where the settings of a bus come from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Code,
    /// With the variable that each field was read from, as it was spelled.
    Environment(BTreeMap<&'static str, String>),
}

impl Origin {
    /// How the user names a field of the bus.
    pub(super) fn setting(&self, bus: &str, field: &'static str) -> Setting {
        match self {
            Self::Code => Setting::Setter { bus: Some(bus.to_owned()), field },
            Self::Environment(given) => Setting::Variable(match given.get(field) {
                Some(variable) => variable.clone(),
                None => variable_name(bus, field),
            }),
        }
    }

    /// Remembers the variable that a field was read from.
    pub(super) fn record(&mut self, field: &'static str, variable: &str) {
        if let Self::Environment(given) = self {
            given.insert(field, variable.to_owned());
        }
    }

    /// Whether a variable sets the field.
    pub(super) fn sets(&self, field: &str) -> bool {
        matches!(self, Self::Environment(given) if given.contains_key(field))
    }

    /// The variables that set anything.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::Code => None,
            Self::Environment(given) => Some(given.values().map(String::as_str)),
        }
        .into_iter()
        .flatten()
    }
}

/// The usual spelling of the variable that sets a field of a bus.
pub(super) fn variable_name(bus: &str, field: &str) -> String {
    match bus {
        DEFAULT_BUS => format!("EVENT_{field}"),
        _ => format!("EVENT_{}_{field}", bus.to_ascii_uppercase()),
    }
}

/// Something that can be set. Its `Display` is for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    /// An environment variable.
    Variable(String),
    /// A setter of a [`BusConfig`](super::BusConfig) or, without a bus, of the manager's builder.
    Setter { bus: Option<String>, field: &'static str },
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "`{name}`"),
            Self::Setter { bus, field } => {
                write!(f, "`.{}(..)`", field.to_ascii_lowercase())?;
                bus.iter().try_for_each(|bus| write!(f, " of bus `{bus}`"))
            }
        }
    }
}
