//! The names of environment variables: `EVENT_{FIELD}` and `EVENT_{INSTANCE}_{FIELD}`.

use super::fields::{FIELDS, Field, Scope};
use crate::config::nearest::{distance, nearest};

/// What all our variables begin with. In this case only: `event_url` belongs to somebody else.
const PREFIX: &str = "EVENT_";

/// A variable of ours, by its name.
pub(super) enum Variable {
    /// A field of the bus `instance`, or of the default bus or the manager if there is none.
    Field { instance: Option<String>, field: &'static Field },
    /// None that we know, and the one that was probably meant.
    Unknown { nearest: Option<String> },
}

impl Variable {
    /// Reads a name; none for a variable that is not ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        // A double underscore counts as one.
        let name = name.strip_prefix(PREFIX)?.replace("__", "_");
        let name = name.strip_prefix('_').unwrap_or(&name);
        let longest = FIELDS
            .iter()
            .filter_map(|field| Some((instance_before(name, field)?, field)))
            .max_by_key(|(_, field)| field.name.len());
        Some(match longest {
            Some((instance, field)) => Self::Field { instance, field },
            None => Self::Unknown { nearest: nearest_variable(name) },
        })
    }
}

/// What is left of a name before the field, if the field is what it ends in: no instance or a valid one.
fn instance_before(name: &str, field: &Field) -> Option<Option<String>> {
    match name.strip_suffix(field.name)? {
        "" => Some(None),
        head => head
            .strip_suffix('_')
            .filter(|name| is_instance(name))
            .map(|name| Some(name.to_ascii_lowercase())),
    }
}

fn is_instance(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('_')
        && !name.ends_with('_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// The variable that a name is most like. Each underscore in it may be where an instance ends.
fn nearest_variable(name: &str) -> Option<String> {
    let name = name.to_ascii_uppercase();
    let splits = name.match_indices('_').map(|(at, _)| (&name[..at], &name[at + 1..]));
    let (_, instance, field) = [("", name.as_str())]
        .into_iter()
        .chain(splits)
        .flat_map(|(instance, rest)| FIELDS.iter().map(move |field| (instance, rest, field)))
        .filter_map(|(instance, rest, field)| Some((distance(rest, field.name)?, instance, field)))
        .min_by_key(|(distance, instance, _)| (*distance, instance.len()))?;
    Some(match (instance, &field.scope) {
        ("", _) | (_, Scope::Manager(_)) => format!("{PREFIX}{}", field.name),
        (instance, Scope::Bus) => format!("{PREFIX}{instance}_{}", field.name),
    })
}

/// The bus that an instance name is probably a misspelling of, among those that there are.
pub(super) fn nearest_bus<'a>(
    instance: &str,
    buses: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    nearest(instance, buses.into_iter().filter(|bus| *bus != instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> (Option<String>, &'static str) {
        match Variable::parse(name) {
            Some(Variable::Field { instance, field }) => (instance, field.name),
            _ => panic!("{name} is no field"),
        }
    }

    #[test]
    fn a_field_may_have_an_instance() {
        for (name, instance, field) in [
            ("EVENT_URL", None, "URL"),
            ("EVENT__URL", None, "URL"),
            ("EVENT_QUEUE_CAPACITY", None, "QUEUE_CAPACITY"),
            ("EVENT__QUEUE__CAPACITY", None, "QUEUE_CAPACITY"),
            ("EVENT_DEFAULT_URL", Some("default"), "URL"),
            ("EVENT_DOMAIN_URL", Some("domain"), "URL"),
            ("EVENT_DOMAIN__URL", Some("domain"), "URL"),
            ("EVENT__DOMAIN_URL", Some("domain"), "URL"),
            ("EVENT__DOMAIN__URL", Some("domain"), "URL"),
            ("EVENT_domain_URL", Some("domain"), "URL"),
            ("EVENT_QUEUE_URL", Some("queue"), "URL"),
            ("EVENT_MY_BUS_RETENTION", Some("my_bus"), "RETENTION"),
            ("EVENT_QUEUE_QUEUE_CAPACITY", Some("queue"), "QUEUE_CAPACITY"),
            ("EVENT_SHOP-2_QUEUE_BYTES", Some("shop-2"), "QUEUE_BYTES"),
        ] {
            assert_eq!(parsed(name), (instance.map(str::to_owned), field), "{name}");
        }
    }

    #[test]
    fn a_misspelt_variable_has_a_nearest_one() {
        for (name, meant) in [
            ("EVENT_BACKND", Some("EVENT_BACKEND")),
            ("EVENT_ULR", Some("EVENT_URL")),
            ("EVENT_url", Some("EVENT_URL")),
            ("EVENT_URI", Some("EVENT_URL")),
            ("EVENT_QUEUEBYTES", Some("EVENT_QUEUE_BYTES")),
            ("EVENT_RETENTOIN", Some("EVENT_RETENTION")),
            ("EVENT_CONECT_TIMEOUT", Some("EVENT_CONNECT_TIMEOUT")),
            ("EVENT_SUBSCRIBER", Some("EVENT_SUBSCRIBERS")),
            ("EVENT_DOMAIN_TLS_CAFILE", Some("EVENT_DOMAIN_TLS_CA_FILE")),
            ("EVENT__DOMAIN__ULR", Some("EVENT_DOMAIN_URL")),
            ("EVENT_MY_BUS_QUEUECAPACITY", Some("EVENT_MY_BUS_QUEUE_CAPACITY")),
            ("EVENT_DOMAIN_MAX_HOP", Some("EVENT_MAX_HOPS")),
            ("EVENT_ID", None),
            ("EVENT_", None),
            ("EVENT_größe", None),
        ] {
            match Variable::parse(name) {
                Some(Variable::Unknown { nearest }) => {
                    assert_eq!(nearest.as_deref(), meant, "{name}")
                }
                _ => panic!("{name} should be unknown"),
            }
        }
    }

    #[test]
    fn what_belongs_to_others_is_left_alone() {
        for name in ["event_url", "EVENTS_URL", "EVENT", "MY_EVENT_URL", ""] {
            assert!(Variable::parse(name).is_none(), "{name}");
        }
    }
}
