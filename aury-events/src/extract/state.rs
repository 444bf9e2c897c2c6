//! A value that the application gave to the manager.

use std::{any::type_name, ops::Deref};

use super::FromContext;
use crate::{declared::Needs, error::BoxError, runtime::Context};

/// A value that the application gave to the manager, by [`state`](crate::EventBusManagerBuilder::state).
///
/// Every delivery gets a clone, so it is usually something shared: a pool, a client, an `Arc`.
///
/// ```
/// # use aury_events::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated;
/// #[derive(Clone)]
/// struct Mailer;
///
/// #[subscribe]
/// async fn confirm(event: &OrderCreated, State(mailer): State<Mailer>) {
///     // …
/// }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct State<T>(pub T);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone + Send + Sync + 'static> FromContext for State<T> {
    fn from_context(context: &Context) -> Result<Self, BoxError> {
        match context.handle().states.get::<T>() {
            Some(value) => Ok(Self(value.clone())),
            None => Err(format!("no state of type `{}` was given", type_name::<T>()).into()),
        }
    }

    fn needs(needs: &mut Needs) {
        needs.state::<T>();
    }
}
