//! One reason for which the buses did not start.

use std::fmt;

use aury_events_backends::{BackendFactory, error::WithCauses, registry::Absent};

use super::{BackendFailure, quoted};
use crate::{
    config::{ConfigProblem, nearest},
    declared::Location,
};

/// One reason for which the buses did not start. Its `Display` form says where, why, and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// A setting is wrong.
    Config(ConfigProblem),
    /// A bus's backend is not part of this build.
    UnknownBackend {
        /// The bus.
        bus: String,
        /// The name of the backend.
        backend: String,
    },
    /// A subscriber listens on a bus that does not exist.
    UnknownBus {
        /// The subscriber.
        subscriber: Place,
        /// The bus that it listens on.
        bus: &'static str,
        /// The buses that there are.
        known: Vec<String>,
    },
    /// A subscriber takes a state that nobody gave.
    MissingState {
        /// The subscriber.
        subscriber: Place,
        /// The type of the state.
        state: &'static str,
    },
    /// Two values of one type were given as state.
    RepeatedState {
        /// The type.
        state: &'static str,
    },
    /// A subscriber settles its events by itself, and has an option that says what becomes of them.
    SettledTwice {
        /// The subscriber.
        subscriber: Place,
        /// The option, or the second receipt.
        option: &'static str,
    },
    /// Two event types have one name.
    DuplicateEvent {
        /// The name.
        name: &'static str,
        /// The types.
        types: [Place; 2],
    },
    /// Two subscribers have one id.
    DuplicateSubscriber {
        /// The id.
        id: &'static str,
        /// The functions.
        functions: [Place; 2],
    },
    /// A subscriber requires more than the backend of its bus promises.
    Unsupported {
        /// The subscriber.
        subscriber: Place,
        /// What it requires.
        requirement: &'static str,
        /// What to do about it, besides taking another backend.
        remedy: Option<&'static str>,
        /// The bus.
        bus: &'static str,
        /// The backend of that bus.
        backend: String,
    },
    /// A backend could not be reached, or a subscription could not be made.
    Backend(BackendFailure),
}

/// Something declared in the source: its name and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The id of a subscriber, or the path of a type or function.
    pub name: &'static str,
    /// Where it is declared.
    pub location: Location,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.name, self.location)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problem) => fmt::Display::fmt(problem, f),
            Self::UnknownBackend { bus, backend } => {
                write!(f, "the bus `{bus}` is to use the backend `{backend}`, ")?;
                match Absent::find(backend).map(Absent::feature) {
                    Some(feature) => write!(
                        f,
                        "which is not part of this build: enable the Cargo feature `{feature}` of aury-events"
                    ),
                    None => {
                        let names = BackendFactory::names();
                        let absent = Absent::all().iter().map(Absent::name);
                        f.write_str("which no linked crate registers; ")?;
                        match nearest(backend, names.iter().copied().chain(absent)) {
                            Some(meant) => write!(f, "did you mean `{meant}`?"),
                            None => write!(
                                f,
                                "there is {}. A dependency is linked only when code names it: `use the_crate as _;`",
                                quoted(names)
                            ),
                        }
                    }
                }
            }
            Self::UnknownBus { subscriber, bus, known } => write!(
                f,
                "the subscriber {subscriber} listens on the bus `{bus}`, but there is only {}: configure it by \
                 `EVENT_{variable}_URL` or `EVENT_{variable}_BACKEND`, or in code by `.bus(\"{bus}\", …)`",
                quoted(known),
                variable = bus.to_ascii_uppercase(),
            ),
            Self::MissingState { subscriber, state } => write!(
                f,
                "the subscriber {subscriber} takes `State<{state}>`, but no such value was given: add `.state(value)` \
                 to `EventBusManager::builder()`"
            ),
            Self::RepeatedState { state } => write!(
                f,
                "two values of the type `{state}` were given as state: a subscriber could not tell them apart, so \
                 wrap one in a type of its own"
            ),
            Self::SettledTwice { subscriber, option } => write!(
                f,
                "the subscriber {subscriber} takes a `Receipt`, by which it says itself what becomes of an event, so \
                 {option} does not go with it: leave one of them out"
            ),
            Self::DuplicateEvent { name, types: [first, second] } => write!(
                f,
                "two event types have the name `{name}`: {first} and {second}; rename one by \
                 `#[event(name = \"…\")]`"
            ),
            Self::DuplicateSubscriber { id, functions: [first, second] } => write!(
                f,
                "two subscribers have the id `{id}`: {first} and {second}; rename one by `#[subscribe(name = \"…\")]`"
            ),
            Self::Unsupported { subscriber, requirement, remedy, bus, backend } => {
                write!(
                    f,
                    "the subscriber {subscriber} requires {requirement}; the backend `{backend}` of the bus `{bus}` \
                     does not offer that"
                )?;
                remedy.map_or(Ok(()), |remedy| write!(f, ": {remedy}"))
            }
            Self::Backend(failure) => fmt::Display::fmt(&WithCauses(failure), f),
        }
    }
}
