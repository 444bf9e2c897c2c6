//! The environment as configuration.
//!
//! A variable's name is taken apart ([`variable`]), its text is read by the table of [`fields`], and what is probably
//! a mistake becomes a [`ConfigWarning`], with the nearest name that exists.

mod fields;
mod variable;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ffi::{OsStr, OsString},
};

use self::{
    fields::{Field, Scope},
    variable::{Variable, nearest_bus},
};
use super::{
    BusConfig, ConfigProblem,
    bus::{BACKEND, By, Origin, URL},
    spelling::Spelling,
    warning::ConfigWarning,
};
use crate::declared::DEFAULT_BUS;

/// What the environment says, as far as it can be understood.
///
/// The problems are those of single variables. What is wrong with a bus as a whole is for [`BusConfig::validate`] to
/// say, so that start-up reports the buses of code and environment alike, and everything at once.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// The default bus, and each that a variable names.
    pub(crate) buses: BTreeMap<String, BusConfig>,
    pub(crate) service: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) max_hops: Option<u16>,
    pub(crate) continue_traces: Option<bool>,
    /// For [`SubscriberFilter::parse`](super::SubscriberFilter::parse).
    pub(crate) subscribers: Option<String>,
    /// What start-up has to refuse.
    pub(crate) problems: Vec<ConfigProblem>,
    /// What is to be logged, whether start-up succeeds or not: a misspelt variable explains a missing one.
    pub(crate) warnings: Vec<ConfigWarning>,
}

/// A variable that is set, and what it sets.
struct Assignment {
    variable: String,
    instance: Option<String>,
    field: &'static Field,
    value: String,
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn from_process() -> Self {
        Self::from_vars(std::env::vars_os())
    }

    /// An environment that consists of these variables.
    pub(crate) fn from_vars(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        environment.bus(DEFAULT_BUS);
        let mut assignments: Vec<_> = vars
            .into_iter()
            .filter_map(|(variable, value)| {
                environment.read(variable.to_string_lossy().into_owned(), &value)
            })
            .collect();
        // `EVENT_DEFAULT_URL` before `EVENT_URL`: the first one counts.
        assignments.sort_by_cached_key(|it| (it.instance.is_none(), it.variable.clone()));
        for assignment in environment.without_duplicates(assignments) {
            environment.apply(assignment);
        }
        let buses = environment.buses.iter();
        let stray: Vec<_> =
            buses.filter_map(|(name, bus)| environment.stray_bus(name, bus)).collect();
        environment.warnings.extend(stray);
        environment
    }

    /// The configuration of the bus of that name, made if need be.
    fn bus(&mut self, name: &str) -> &mut BusConfig {
        self.buses.entry(name.to_owned()).or_insert_with(|| BusConfig::new(Origin::Environment))
    }

    /// Understands what a variable sets, if it is ours and sets anything.
    fn read(&mut self, variable: String, value: &OsStr) -> Option<Assignment> {
        if value.to_str().is_some_and(|value| value.trim().is_empty()) {
            return None;
        }
        let (instance, field) = match Variable::parse(&variable)? {
            Variable::Field { instance, field } => (instance, field),
            Variable::Unknown { nearest } => {
                self.warnings.push(ConfigWarning::Unknown { variable, nearest });
                return None;
            }
        };
        if instance.is_some() && matches!(field.scope, Scope::Manager(_)) {
            self.warnings.push(ConfigWarning::WholeManager { variable, field: field.name });
            return None;
        }
        let Some(value) = value.to_str() else {
            self.problems.push(ConfigProblem::not_unicode(Spelling::Variable(variable)));
            return None;
        };
        Some(Assignment { variable, instance, field, value: value.trim().to_owned() })
    }

    /// Leaves one assignment to each field. Two that are spelled differently have to agree, unless one of them is
    /// `EVENT_DEFAULT_{FIELD}`, which wins.
    fn without_duplicates(&mut self, assignments: Vec<Assignment>) -> Vec<Assignment> {
        let mut kept: BTreeMap<(String, &str), Assignment> = BTreeMap::new();
        for assignment in assignments {
            match kept.entry((assignment.bus().to_owned(), assignment.field.name)) {
                Entry::Vacant(entry) => {
                    entry.insert(assignment);
                }
                Entry::Occupied(entry) => {
                    let first = entry.get();
                    let wins = first.instance.is_some() && assignment.instance.is_none();
                    if !wins && first.value != assignment.value {
                        self.problems.push(ConfigProblem::two_spellings(
                            Spelling::Variable(first.variable.clone()),
                            assignment.variable,
                        ));
                    }
                }
            }
        }
        kept.into_values().collect()
    }

    fn apply(&mut self, assignment: Assignment) {
        let bus = assignment.bus().to_owned();
        let Assignment { variable, field, value, .. } = assignment;
        match field.scope {
            Scope::Bus => self.bus(&bus).give(field.name, value, By::Variable(variable)),
            Scope::Manager(read) => {
                if let Err(expected) = read(self, &value) {
                    let setting = Spelling::Variable(variable);
                    self.problems.push(ConfigProblem::value(setting, &value, false, expected));
                }
            }
        }
    }

    /// A misspelt field or instance may look like a bus: `EVENT_DOMIAN_PREFETCH`, `EVENT_DEFAUT_URL`.
    fn stray_bus(&self, name: &str, bus: &BusConfig) -> Option<ConfigWarning> {
        let nearest = if name == DEFAULT_BUS {
            return None;
        } else if is_set_up(bus) {
            Some(nearest_bus(name, [DEFAULT_BUS])?)
        } else {
            let set_up = self.buses.iter().filter(|(_, bus)| is_set_up(bus));
            nearest_bus(name, set_up.map(|(name, _)| name.as_str()).chain([DEFAULT_BUS]))
        };
        Some(ConfigWarning::StrayBus {
            variable: bus.variables().next()?.to_owned(),
            bus: name.to_owned(),
            nearest: nearest.map(str::to_owned),
        })
    }
}

/// Whether its backend was chosen, rather than left to the default.
fn is_set_up(bus: &BusConfig) -> bool {
    [BACKEND, URL].iter().any(|field| bus.given.contains_key(field))
}

impl Assignment {
    fn bus(&self) -> &str {
        self.instance.as_deref().unwrap_or(DEFAULT_BUS)
    }
}

#[cfg(test)]
mod tests;
