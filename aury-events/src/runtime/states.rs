//! The values that an application gave to its manager.

use std::{
    any::{Any, TypeId},
    fmt,
    sync::Arc,
};

use crate::declared::{Needs, StateKey};

/// The values given to a manager, one of a type.
#[derive(Default)]
pub(crate) struct States(Vec<(StateKey, Arc<dyn Any + Send + Sync>)>);

impl States {
    /// Adds a value. One of the same type stays in front of it: see [`States::repeated`].
    pub(crate) fn add<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.push((StateKey::of::<T>(), Arc::new(value)));
    }

    /// The types of what is needed and was not given.
    pub(crate) fn missing(&self, needs: &Needs) -> impl Iterator<Item = &'static str> {
        let is_missing = |key: &&StateKey| !self.0.iter().any(|(known, _)| known.id == key.id);
        needs.states.iter().filter(is_missing).map(|key| key.name)
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        // There are few of them: looking through all is faster than hashing.
        let (_, value) = self.0.iter().find(|(key, _)| key.id == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// The types of which more than one value was given.
    pub(crate) fn repeated(&self) -> Vec<StateKey> {
        let earlier = |at: usize, id| self.0[..at].iter().any(|(key, _)| key.id == id);
        let all = self.0.iter().enumerate();
        all.filter(|&(at, (key, _))| earlier(at, key.id)).map(|(_, (key, _))| *key).collect()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key.name)).finish()
    }
}
