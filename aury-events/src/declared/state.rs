//! What the parameters of a subscriber need.

use std::any::{TypeId, type_name};

use super::Options;

/// What the parameters of a subscriber need: checked at start-up, so that nothing is missing at the first event.
#[derive(Debug, Default)]
pub struct Needs {
    pub(crate) states: Vec<StateKey>,
    /// How many parameters settle the delivery.
    pub(crate) receipts: usize,
}

impl Needs {
    /// A [`State<T>`](crate::State) has to be there.
    pub fn state<T: Clone + Send + Sync + 'static>(&mut self) {
        self.states.push(StateKey::of::<T>());
    }

    /// What else settles the deliveries of a subscriber that takes a [`Receipt`](crate::Receipt).
    pub(crate) fn settled_twice(&self, options: &Options) -> impl Iterator<Item = &'static str> {
        let receipts = self.receipts;
        let twice = [
            (receipts > 1, "a second `Receipt`"),
            (options.retry.is_some(), "`retry`"),
            (options.idempotent, "`idempotent`"),
            (options.batch.is_some(), "`batch`"),
            (options.ordered.is_some(), "`ordered`"),
        ];
        let twice = twice.into_iter().filter(move |(is_set, _)| receipts > 0 && *is_set);
        twice.map(|(_, option)| option)
    }
}

/// A type of state: its identity, and its name for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StateKey {
    pub(crate) id: TypeId,
    pub(crate) name: &'static str,
}

impl StateKey {
    pub(crate) fn of<T: 'static>() -> Self {
        Self { id: TypeId::of::<T>(), name: type_name::<T>() }
    }
}
