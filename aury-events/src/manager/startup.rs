//! What is checked before anything starts.

use std::{collections::BTreeMap, sync::Once};

use aury_events_backends::BackendFactory;

use crate::{
    config::{BusConfig, SubscriberFilter},
    declared::{DEFAULT_BUS, EventEntry, Needs, Order, StateKey, SubscriberDeclaration},
    dispatch::SubscriberEntry,
    error::{Place, Problem},
    runtime::{BusCore, States},
};

/// What is about to start.
pub(crate) struct Plan<'a> {
    pub(crate) buses: &'a BTreeMap<String, BusConfig>,
    pub(crate) subscribers: &'a [&'static SubscriberDeclaration],
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

    /// Warns of settings that change nothing.
    pub(crate) fn warn_of_idle_settings(&self) {
        for warning in self.buses.iter().flat_map(|(bus, config)| config.warnings(bus)) {
            tracing::warn!("{warning}");
        }
    }

    /// Warns of buses that nothing uses: `EVENT_REDIS_URL` makes a bus `redis`, where the default one may be meant.
    pub(crate) fn warn_of_idle_buses(&self) {
        let events = EventEntry::all();
        for bus in self.buses.keys().filter(|bus| *bus != DEFAULT_BUS) {
            let is_used = events.iter().any(|entry| entry.bus == bus)
                || SubscriberEntry::declared().any(|entry| entry.bus == bus);
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

    fn problems_of(&self, entry: &'static SubscriberDeclaration) -> Vec<Problem> {
        let subscriber = || Place { name: entry.id, location: entry.location };
        let mut needs = Needs::default();
        (entry.needs)(&mut needs);
        let options = &entry.options;
        let mut problems: Vec<_> = self
            .states
            .missing(&needs)
            .map(|state| Problem::MissingState { subscriber: subscriber(), state })
            .collect();
        let twice = needs.settled_twice(options);
        problems
            .extend(twice.map(|option| Problem::SettledTwice { subscriber: subscriber(), option }));

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
            (options.durable && !offered.at_least_once, "`durable`, delivery at least once", None),
            (
                entry.topic.is_pattern() && !offered.patterns,
                "`pattern`, subscriptions to patterns",
                None,
            ),
            (
                options.ordered == Some(Order::Service) && !offered.service_order,
                "`ordered = \"service\"`, the order of a key over all processes of a service",
                Some(
                    "write `ordered`, and run this subscriber in one process (`EVENT_SUBSCRIBERS`)",
                ),
            ),
        ];
        let unmet = unmet.into_iter().filter(|(is_unmet, ..)| *is_unmet);
        problems.extend(unmet.map(|(_, requirement, remedy)| Problem::Unsupported {
            subscriber: subscriber(),
            requirement,
            remedy,
            bus: entry.bus,
            backend: config.backend_name().to_owned(),
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
        if glob != "*"
            && !all.iter().any(|entry| SubscriberFilter::matches(glob, entry.declaration.id))
        {
            tracing::warn!(glob, "no subscriber has an id that matches");
        }
    }
    all.into_iter().filter(|entry| filter.selects(entry.declaration.id)).collect()
}

/// How many subscribers of one crate a line of the log names.
const NAMED: usize = 20;

/// Logs each bus: where it is, what it promises, and who listens on it, crate by crate, so that a crate that was forgotten
/// is missed.
pub(crate) fn report_buses(buses: &[BusCore], subscribers: &[&'static SubscriberEntry]) {
    for bus in buses {
        let of_bus = subscribers.iter().map(|entry| &entry.declaration);
        let of_bus: Vec<_> = of_bus.filter(|declared| declared.bus == bus.name()).collect();
        let capabilities = bus.backend().capabilities();
        tracing::info!(
            bus = bus.name(),
            backend = bus.backend_name(),
            address = bus.address(),
            delivery = if capabilities.at_least_once { "at least once" } else { "at most once" },
            "{} subscribers{}",
            of_bus.len(),
            crate_by_crate(&of_bus)
        );
    }
}

/// As in `: mail (send, count), stock (reserve)`.
fn crate_by_crate(subscribers: &[&'static SubscriberDeclaration]) -> String {
    let mut crates: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for declared in subscribers {
        let name = declared.path.split("::").next().unwrap_or_default();
        let prefix = format!("{name}::");
        let id = declared.id.strip_prefix(&*prefix).unwrap_or(declared.id);
        crates.entry(name).or_default().push(id);
    }
    let mut text = String::new();
    for (name, ids) in crates {
        text.push_str(if text.is_empty() { ": " } else { ", " });
        let more = ids.len().saturating_sub(NAMED);
        let named = ids[..ids.len() - more].join(", ");
        text.push_str(&format!("{name} ({named}"));
        if more > 0 {
            text.push_str(&format!(", and {more} more"));
        }
        text.push(')');
    }
    text
}

/// Says on standard error, once in a process, that nothing of what is logged is seen.
pub(crate) fn warn_of_silence() {
    static ONCE: Once = Once::new();
    if tracing::dispatcher::has_been_set() {
        return;
    }
    #[expect(clippy::print_stderr, reason = "there is no other way to be heard")]
    ONCE.call_once(|| {
        eprintln!(
            "aury-events: no subscriber of `tracing` is installed, so warnings, failing handlers and dead letters are \
             not seen; install one before the buses start, such as `tracing_subscriber::fmt::init()`"
        );
    });
}

/// Says which service this process belongs to, where nobody has said so and other processes may be meant to share it.
pub(crate) fn report_service(service: &str, buses: &[BusCore]) {
    if buses.iter().any(BusCore::is_remote) {
        tracing::info!(
            service,
            "EVENT_SERVICE is not set: the service has the name of this program. Another program, such as a command line, \
             belongs to another service, which shares neither work nor dead letters with this one"
        );
    }
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
