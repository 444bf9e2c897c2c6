//! What is checked before anything starts.

use std::{collections::BTreeMap, fmt};

use aury_events_backends::{BackendFactory, error::WithCauses};

use crate::{
    DEFAULT_BUS,
    config::{BusConfig, ConfigProblem, SubscriberFilter, known_backends, nearest},
    declared::event::EventEntry,
    declared::location::Location,
    dispatch::subscriber::SubscriberEntry,
    error::{BackendFailure, quoted},
    extract::{Needs, StateKey, States},
};

/// Why the buses did not start: every problem that was found, not only the first.
pub struct StartError {
    problems: Vec<Problem>,
}

impl StartError {
    /// The error for these problems; `Ok` when there are none.
    pub(crate) fn unless_none(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problems[..] {
            [problem] => write!(f, "the event buses cannot start: {problem}"),
            problems => {
                write!(f, "the event buses cannot start, for {} reasons:", problems.len())?;
                for (number, problem) in (1..).zip(problems) {
                    write!(f, "\n  {number}. {problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StartError {}

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
                match feature_of(backend) {
                    Some(feature) => write!(
                        f,
                        "which is not part of this build: enable the Cargo feature `{feature}` of aury-events"
                    ),
                    None => {
                        let names = BackendFactory::names();
                        f.write_str("which no linked crate registers; ")?;
                        match nearest(backend, names.iter().copied().chain(known_backends())) {
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
            Self::Unsupported { subscriber, requirement, bus, backend } => write!(
                f,
                "the subscriber {subscriber} requires {requirement}; the backend `{backend}` of the bus `{bus}` \
                 does not offer that"
            ),
            Self::Backend(failure) => fmt::Display::fmt(&WithCauses(failure), f),
        }
    }
}

/// The Cargo feature that brings a backend of this project.
fn feature_of(backend: &str) -> Option<&'static str> {
    match backend {
        "redis" | "redis-streams" => Some("redis"),
        "rabbitmq" => Some("rabbitmq"),
        _ => None,
    }
}

/// What is about to start.
pub(crate) struct Plan<'a> {
    pub(crate) buses: &'a BTreeMap<String, BusConfig>,
    pub(crate) subscribers: &'a [&'static SubscriberEntry],
    pub(crate) states: &'a States,
}

impl Plan<'_> {
    /// All that is wrong with it.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.problems_of_buses();
        problems.extend(
            self.states
                .repeated()
                .into_iter()
                .map(|StateKey { name: state, .. }| Problem::RepeatedState { state }),
        );
        problems.extend(duplicate_events());
        problems.extend(self.duplicate_subscribers());
        problems.extend(self.subscribers.iter().flat_map(|entry| self.problems_of(entry)));
        problems
    }

    fn problems_of_buses(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (bus, config) in self.buses {
            let wrong = config.validate(bus);
            let backend = config.backend_name();
            if wrong.is_empty() && BackendFactory::find(backend).is_none() {
                let (bus, backend) = (bus.clone(), backend.to_owned());
                problems.push(Problem::UnknownBackend { bus, backend });
            }
            problems.extend(wrong.into_iter().map(Problem::Config));
        }
        problems
    }

    /// Warns of buses that nothing uses: `EVENT_REDIS_URL` makes a bus `redis`, where the default one may be meant.
    pub(crate) fn warn_of_idle_buses(&self) {
        let events = EventEntry::all();
        for bus in self.buses.keys().filter(|bus| *bus != DEFAULT_BUS) {
            let is_used = events.iter().any(|entry| entry.bus == bus)
                || SubscriberEntry::all().iter().any(|entry| entry.bus == bus);
            if !is_used {
                tracing::warn!(bus, "no event and no subscriber names this bus");
            }
        }
    }

    fn duplicate_subscribers(&self) -> impl Iterator<Item = Problem> {
        let same = self.subscribers.windows(2).filter(|pair| pair[0].id == pair[1].id);
        same.map(|pair| Problem::DuplicateSubscriber {
            id: pair[0].id,
            functions: [0, 1].map(|at| Place { name: pair[at].path, location: pair[at].location }),
        })
    }

    fn problems_of(&self, entry: &'static SubscriberEntry) -> Vec<Problem> {
        let subscriber = || Place { name: entry.id, location: entry.location };
        let mut needs = Needs::default();
        (entry.needs)(&mut needs);
        let receipts = needs.receipts;
        let missing = needs.states.into_iter().filter(|&state| !self.states.has(state));
        let mut problems: Vec<_> = missing
            .map(|state| Problem::MissingState { subscriber: subscriber(), state: state.name })
            .collect();
        let options = &entry.options;
        let twice = [
            (receipts > 1, "a second `Receipt`"),
            (options.retry.is_some(), "`retry`"),
            (options.idempotent, "`idempotent`"),
            (options.batch.is_some(), "`batch`"),
            (options.ordered, "`ordered`"),
        ];
        let twice = twice.into_iter().filter(|(is_set, _)| receipts > 0 && *is_set);
        problems.extend(
            twice.map(|(_, option)| Problem::SettledTwice { subscriber: subscriber(), option }),
        );

        let Some(config) = self.buses.get(entry.bus) else {
            let known = self.buses.keys().cloned().collect();
            problems.push(Problem::UnknownBus { subscriber: subscriber(), bus: entry.bus, known });
            return problems;
        };
        let Some(factory) = BackendFactory::find(config.backend_name()) else {
            return problems;
        };
        let offered = factory.capabilities();
        let unmet = [
            (entry.options.durable && !offered.at_least_once, "`durable`, delivery at least once"),
            (entry.topic.is_pattern() && !offered.patterns, "`pattern`, subscriptions to patterns"),
        ];
        problems.extend(unmet.into_iter().filter(|(unmet, _)| *unmet).map(|(_, requirement)| {
            let backend = config.backend_name().to_owned();
            Problem::Unsupported { subscriber: subscriber(), requirement, bus: entry.bus, backend }
        }));
        problems
    }
}

fn duplicate_events() -> Vec<Problem> {
    let same = |pair: &&[&'static EventEntry]| pair[0].name == pair[1].name;
    let place = |entry: &EventEntry| Place { name: entry.type_path, location: entry.location };
    let problem = |pair: &[&'static EventEntry]| Problem::DuplicateEvent {
        name: pair[0].name,
        types: [place(pair[0]), place(pair[1])],
    };
    EventEntry::all().windows(2).filter(same).map(problem).collect()
}

/// The subscribers that a filter selects; a glob that selects none is worth a warning.
pub(crate) fn selected(filter: &SubscriberFilter) -> Vec<&'static SubscriberEntry> {
    let all = SubscriberEntry::all();
    for glob in filter.globs() {
        if glob != "*" && !all.iter().any(|entry| SubscriberFilter::matches(glob, entry.id)) {
            tracing::warn!(glob, "no subscriber has an id that matches");
        }
    }
    all.into_iter().filter(|entry| filter.selects(entry.id)).collect()
}

/// Logs how many subscribers there are; none at all is mostly a mistake, unless `none` was asked for.
pub(crate) fn report(subscribers: usize, filter: &SubscriberFilter) {
    let linked = SubscriberEntry::all().len();
    let is_any_wanted = filter.globs().next().is_some();
    if linked == 0 && is_any_wanted {
        tracing::warn!(
            "no subscriber was found. A crate whose code is never named is not linked, and its subscribers are missing: \
             write `use the_crate as _;` in the binary"
        );
    } else if subscribers == 0 && is_any_wanted {
        tracing::warn!(linked, "none of the subscribers is selected to run in this process");
    } else {
        tracing::info!(subscribers, linked, "the event buses are up");
    }
}
