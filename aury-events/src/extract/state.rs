//! A value that the application gave to the manager.

use std::{any::type_name, ops::Deref};

use super::{Extractor, FromContext, OptionalFromContext};
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
///
/// The extractor of axum is called `State` as well, and an import of it goes before the one of the prelude. A subscriber that
/// takes axum's does not compile. Where both are used, give this one another name:
///
/// ```
/// use aury_events::{State as EventState, prelude::*};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated;
/// # #[derive(Clone)] struct Mailer;
///
/// #[subscribe]
/// async fn confirm(event: &OrderCreated, EventState(mailer): EventState<Mailer>) {
///     // …
/// }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct State<T>(pub T);

/// What can be taken as [`State`]. Implemented for all such types.
#[diagnostic::on_unimplemented(
    message = "`State<{Self}>` cannot be a parameter: `{Self}` is not `Clone`, or not to be shared among threads",
    label = "each delivery gets a clone of it",
    note = "give an `Arc` of it to the manager, and take `State<Arc<{Self}>>`"
)]
pub trait StateValue: Clone + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> StateValue for T {}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

fn given<T: StateValue>(context: &Context) -> Option<T> {
    context.handle().states.get::<T>().cloned()
}

/// The value of a [`State`]. It stands between the two so that the compiler says what `T` lacks.
#[doc(hidden)]
#[derive(Debug)]
pub struct Given<T>(T);

impl<T: StateValue> Extractor for Given<T> {
    async fn extract(context: &Context) -> Result<Self, BoxError> {
        let value = given(context)
            .ok_or_else(|| format!("no state of type `{}` was given", type_name::<T>()))?;
        Ok(Self(value))
    }

    fn needs(needs: &mut Needs) {
        needs.state::<T>();
    }
}

impl<T: StateValue> FromContext for State<T> {
    type Parts = Given<T>;

    async fn from_context(Given(value): Given<T>) -> Result<Self, BoxError> {
        Ok(Self(value))
    }
}

/// `None` where no such value was given: it stops no start.
impl<T: StateValue> OptionalFromContext for State<T> {
    type Parts = Context;

    async fn from_context(context: Context) -> Result<Option<Self>, BoxError> {
        Ok(given(&context).map(Self))
    }
}
