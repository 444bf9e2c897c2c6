//! What in a configuration is probably not meant as it stands.

use std::fmt;

use super::spelling::{Spelling, variable_name};

/// Something in a configuration that is probably a mistake, and is no reason not to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfigWarning {
    /// A variable that sets nothing.
    Unknown { variable: String, nearest: Option<String> },
    /// A field of the manager that was given for one bus.
    WholeManager { variable: String, field: &'static str },
    /// A bus that nobody may have meant to set up: it is on the memory backend for want of a word about it, or its
    /// name is nearly that of another.
    StrayBus { variable: String, bus: String, nearest: Option<String> },
    /// A setting of other backends than that of the bus.
    NoEffect { setting: Spelling, bus: String, backend: &'static str, owners: Vec<&'static str> },
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEffect { setting, bus, backend, owners } => match owners[..] {
                [] => write!(
                    f,
                    "{setting} has no effect on the backend `{backend}` of the bus `{bus}`"
                ),
                _ => write!(
                    f,
                    "{setting} has no effect: it is a setting of the backend `{}`, and the backend of the bus `{bus}` is \
                     `{backend}`",
                    owners.join("` and `")
                ),
            },
            Self::Unknown { variable, nearest: Some(nearest) } => {
                write!(f, "`{variable}` sets nothing; did you mean `{nearest}`?")
            }
            Self::Unknown { variable, nearest: None } => {
                write!(f, "`{variable}` sets nothing: no such setting is known")
            }
            Self::WholeManager { variable, field } => write!(
                f,
                "`{variable}` sets nothing: `{field}` holds for the whole manager; write `EVENT_{field}`"
            ),
            Self::StrayBus { variable, bus, nearest: Some(nearest) } => {
                write!(f, "`{variable}` sets up a bus named `{bus}`; did you mean `{nearest}`?")
            }
            Self::StrayBus { variable, bus, nearest: None } => write!(
                f,
                "`{variable}` sets up a bus named `{bus}`, \
                 on the memory backend as neither `{}` nor `{}` is set",
                variable_name(bus, "BACKEND"),
                variable_name(bus, "URL")
            ),
        }
    }
}
