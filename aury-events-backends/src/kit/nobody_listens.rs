//! Events that nobody listens to.

use std::{collections::HashSet, sync::Mutex};

use crate::{config::Unroutable, error::BackendError, sync::lock};

/// How many names of events are remembered.
const REMEMBERED: usize = 1024;

/// What becomes of events that nobody listens to: the setting `UNROUTABLE`.
#[derive(Debug)]
pub struct NobodyListens {
    policy: Unroutable,
    /// The names of the events of which it has been said.
    said: Mutex<HashSet<String>>,
}

impl NobodyListens {
    /// Does as that setting says.
    pub fn new(policy: Unroutable) -> Self {
        Self { policy, said: Mutex::default() }
    }

    /// Whether such a publish fails.
    pub fn is_error(&self) -> bool {
        self.policy == Unroutable::Error
    }

    /// Takes note that an event of that name found nobody; `why` is the end of a sentence, as in `no subscriber runs in this
    /// process`. It is logged once for each name, or is an error.
    ///
    /// # Errors
    ///
    /// When the setting says `error`.
    #[cold]
    pub fn note(&self, event: &str, why: &str) -> Result<(), BackendError> {
        match self.policy {
            Unroutable::Ignore => Ok(()),
            Unroutable::Error => {
                Err(BackendError::unroutable(format!("nobody listens to {event}"), why))
            }
            Unroutable::Warn => {
                let mut said = lock(&self.said);
                if said.len() < REMEMBERED && said.insert(event.to_owned()) {
                    drop(said);
                    tracing::warn!(
                        event,
                        "nobody listens to this event, and it is lost: {why}; EVENT_UNROUTABLE says whether that is an error"
                    );
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_error_if_the_setting_says_so() {
        for (policy, is_error) in
            [(Unroutable::Ignore, false), (Unroutable::Warn, false), (Unroutable::Error, true)]
        {
            let noted = NobodyListens::new(policy).note("order.created", "nobody runs");
            assert_eq!(noted.as_ref().is_err_and(BackendError::is_unroutable), is_error);
        }
    }
}
