//! What a build without some of this project's backends knows of them: enough to say how to add them.

use std::fmt;

/// A backend of this project that is not part of this build.
pub struct Absent {
    name: &'static str,
    feature: &'static str,
    /// The schemes that mean it by themselves.
    schemes: &'static [&'static str],
}

static ABSENT: &[Absent] = &[
    #[cfg(not(feature = "redis"))]
    Absent { name: "redis", feature: "redis", schemes: &["redis", "rediss", "redis+unix", "unix"] },
    #[cfg(not(feature = "redis"))]
    Absent { name: "redis-streams", feature: "redis", schemes: &[] },
    #[cfg(not(feature = "rabbitmq"))]
    Absent { name: "rabbitmq", feature: "rabbitmq", schemes: &["amqp", "amqps"] },
];

impl Absent {
    /// All of them.
    pub fn all() -> &'static [Self] {
        ABSENT
    }

    /// The one of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ABSENT.iter().find(|absent| absent.name == name)
    }

    /// The name by which it would be chosen.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The Cargo feature of aury-events that adds it.
    pub fn feature(&self) -> &'static str {
        self.feature
    }

    /// The schemes that would mean it by themselves.
    pub fn schemes(&self) -> &'static [&'static str] {
        self.schemes
    }
}

impl fmt::Debug for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Absent").field(&self.name).finish()
    }
}
