//! A bus that does not exist.

use std::{error::Error as StdError, fmt};

use super::quoted;

/// There is no bus of that name.
#[derive(Debug, Clone)]
pub struct UnknownBus {
    bus: String,
    /// The buses that there are; `None` when nothing has been initialised.
    known: Option<Vec<String>>,
}

impl UnknownBus {
    pub(crate) fn among<'a>(bus: &str, known: impl Iterator<Item = &'a str>) -> Self {
        Self { bus: bus.to_owned(), known: Some(known.map(str::to_owned).collect()) }
    }

    pub(crate) fn not_initialised(bus: &str) -> Self {
        Self { bus: bus.to_owned(), known: None }
    }

    /// The name that was asked for.
    pub fn bus(&self) -> &str {
        &self.bus
    }
}

impl fmt::Display for UnknownBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.known {
            Some(known) => write!(f, "there is no bus `{}`, only {}", self.bus, quoted(known)),
            None => write!(
                f,
                "there is no bus `{}` yet: call `aury_events::init_from_env().await` first",
                self.bus
            ),
        }
    }
}

impl StdError for UnknownBus {}
