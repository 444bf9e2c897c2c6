//! What a subscriber can take besides its event.

use std::{
    future::{Pending, pending},
    marker::PhantomData,
};

use aury_events_backends::envelope::TraceId;

use crate::{declared::Needs, error::BoxError, runtime::Context};

/// A type of your own that a subscriber takes as a parameter, made of other extractors.
///
/// ```
/// use aury_events::{BoxError, prelude::*};
///
/// #[derive(Clone)]
/// struct Database;
///
/// impl Database {
///     async fn tenant(&self, name: &str) -> Result<Tenant, std::io::Error> {
///         Ok(Tenant(name.to_owned()))
///     }
/// }
///
/// /// The tenant that an event belongs to.
/// struct Tenant(String);
///
/// impl FromContext for Tenant {
///     type Parts = (Context, State<Database>);
///
///     async fn from_context((context, State(database)): Self::Parts) -> Result<Self, BoxError> {
///         let name = context.header("tenant").ok_or("the event has no header `tenant`")?;
///         Ok(database.tenant(name).await?)
///     }
/// }
/// ```
///
/// What the parts need is needed by the type: a `State<Database>` that was not given stops the start, for each subscriber
/// that takes a `Tenant`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a subscriber",
    label = "not made from the context of an event",
    note = "the first parameter is the event; each further one is `Context`, `State<T>`, `EventBus`, `TraceId`, `Receipt`, or a type of your own that implements `FromContext`"
)]
pub trait FromContext: Sized + Send {
    /// What it is made of: an [`Extractor`], such as [`Context`] or [`State<T>`](crate::State), or a tuple of them.
    type Parts: Extractor;

    /// Makes the value. It is dropped before it is done when the subscriber's `timeout` is over.
    ///
    /// # Errors
    ///
    /// An error counts as a failure of the subscriber.
    fn from_context(parts: Self::Parts) -> impl Future<Output = Result<Self, BoxError>> + Send;
}

/// A type that a subscriber takes as `Option<Self>`: `None` where it is absent, which is no failure.
///
/// ```
/// use aury_events::{BoxError, OptionalFromContext, prelude::*};
///
/// struct Tenant(String);
///
/// impl OptionalFromContext for Tenant {
///     type Parts = Context;
///
///     async fn from_context(context: Context) -> Result<Option<Self>, BoxError> {
///         Ok(context.header("tenant").map(|name| Self(name.to_owned())))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`Option<{Self}>` cannot be a parameter of a subscriber",
    label = "it is not said when it is absent",
    note = "implement `OptionalFromContext` for it"
)]
pub trait OptionalFromContext: Sized + Send {
    /// As [`FromContext::Parts`].
    type Parts: Extractor;

    /// Makes the value, if it is there.
    ///
    /// # Errors
    ///
    /// An error counts as a failure of the subscriber: it is not the same as `None`.
    fn from_context(
        parts: Self::Parts,
    ) -> impl Future<Output = Result<Option<Self>, BoxError>> + Send;
}

/// What a subscriber can take besides its event: [`Context`], [`State<T>`](crate::State), [`EventBus`](crate::EventBus),
/// [`TraceId`], [`Receipt`](crate::Receipt), each type that implements [`FromContext`], `Option<T>` of each that implements
/// [`OptionalFromContext`], and tuples of up to eight of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a subscriber",
    label = "not made from the context of an event",
    note = "the first parameter is the event; each further one is `Context`, `State<T>`, `EventBus`, `TraceId`, `Receipt`, or a type of your own that implements `FromContext`"
)]
pub trait Extractor: Sized + Send {
    #[doc(hidden)]
    fn extract(context: &Context) -> impl Future<Output = Result<Self, BoxError>> + Send;

    /// Names what has to be there at start-up.
    #[doc(hidden)]
    fn needs(needs: &mut Needs);
}

impl<T: FromContext> Extractor for T {
    async fn extract(context: &Context) -> Result<Self, BoxError> {
        T::from_context(T::Parts::extract(context).await?).await
    }

    fn needs(needs: &mut Needs) {
        T::Parts::needs(needs);
    }
}

#[diagnostic::do_not_recommend]
impl<T: OptionalFromContext> Extractor for Option<T> {
    async fn extract(context: &Context) -> Result<Self, BoxError> {
        T::from_context(T::Parts::extract(context).await?).await
    }

    fn needs(needs: &mut Needs) {
        T::Parts::needs(needs);
    }
}

impl Extractor for Context {
    async fn extract(context: &Context) -> Result<Self, BoxError> {
        Ok(context.clone())
    }

    fn needs(_: &mut Needs) {}
}

/// The trace in which the event was published.
impl Extractor for TraceId {
    async fn extract(context: &Context) -> Result<Self, BoxError> {
        Ok(context.trace_id())
    }

    fn needs(_: &mut Needs) {}
}

macro_rules! tuples {
    ($(($($part:ident)*),)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<$($part: Extractor),*> Extractor for ($($part,)*) {
            async fn extract(_context: &Context) -> Result<Self, BoxError> {
                Ok(($($part::extract(_context).await?,)*))
            }

            fn needs(_needs: &mut Needs) {
                $($part::needs(_needs);)*
            }
        }
    )*};
}
tuples! {
    (), (A), (A B), (A B C), (A B C D), (A B C D E), (A B C D E F), (A B C D E F G), (A B C D E F G H),
}

/// The context of the event that the current task handles.
///
/// # Errors
///
/// When it handles none.
pub fn context() -> Result<Context, BoxError> {
    Context::current().ok_or_else(|| "no event is being handled here".into())
}

/// Names what a parameter of type `T` needs at start-up.
pub fn needs_of<T: Extractor>(needs: &mut Needs) {
    T::needs(needs);
}

/// Makes a parameter of type `T`.
///
/// The compiler is to blame a type that is no [`Extractor`] once, which it does at [`needs_of`]. So this has no bound: for
/// such a type, [`NoParameter`] answers.
#[derive(Debug)]
pub struct Parameter<T>(PhantomData<T>);

impl<T> Parameter<T> {
    /// Of that type.
    pub const NEW: Self = Self(PhantomData);
}

impl<T: Extractor> Parameter<T> {
    /// Makes it.
    pub fn extract(self, context: &Context) -> impl Future<Output = Result<T, BoxError>> + Send {
        T::extract(context)
    }
}

/// See [`Parameter`].
pub trait NoParameter<T>: Sized {
    /// Is never called.
    fn extract(self, _context: &Context) -> Pending<Result<T, BoxError>> {
        pending()
    }
}

impl<T> NoParameter<T> for Parameter<T> {}
