//! What a subscriber can take besides its event.

use aury_events_backends::envelope::TraceId;

use crate::{declared::Needs, error::BoxError, runtime::Context};

/// A parameter of a subscriber, made from the [`Context`] of the event.
///
/// ```
/// use aury_events::{BoxError, Context, FromContext};
///
/// /// The tenant that an event belongs to, from its header.
/// struct Tenant(String);
///
/// impl FromContext for Tenant {
///     fn from_context(context: &Context) -> Result<Self, BoxError> {
///         let tenant = context.header("tenant").ok_or("the event has no header `tenant`")?;
///         Ok(Self(tenant.to_owned()))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a subscriber",
    label = "not made from the context of an event",
    note = "the first parameter is the event; each further one is `Context`, `State<T>`, `EventBus`, `TraceId`, `Receipt`, or a type of your own that implements `FromContext`"
)]
pub trait FromContext: Sized + Send {
    /// Makes the value.
    ///
    /// # Errors
    ///
    /// An error counts as a failure of the subscriber.
    fn from_context(context: &Context) -> Result<Self, BoxError>;

    /// Names what has to be there at start-up.
    fn needs(_needs: &mut Needs) {}
}

impl FromContext for Context {
    fn from_context(context: &Context) -> Result<Self, BoxError> {
        Ok(context.clone())
    }
}

/// The trace in which the event was published.
impl FromContext for TraceId {
    fn from_context(context: &Context) -> Result<Self, BoxError> {
        Ok(context.trace().trace_id())
    }
}

/// Makes a parameter in the context of the event that the current task handles.
pub(crate) fn extract<T: FromContext>() -> Result<T, BoxError> {
    Context::current()
        .map(|context| T::from_context(&context))
        .unwrap_or_else(|| Err("no event is being handled here".into()))
}

/// How a parameter of a subscriber is made, and what that needs.
///
/// The macro asks for the two in different places, and the compiler would report a type that is not [`FromContext`] at
/// each of them: hence one bound, that of [`extractor`], and none here.
#[derive(Debug)]
pub struct Extractor<T> {
    extract: fn() -> Result<T, BoxError>,
    needs: fn(&mut Needs),
}

/// The extractor of `T`.
pub const fn extractor<T: FromContext>() -> Extractor<T> {
    Extractor { extract: extract::<T>, needs: T::needs }
}

impl<T> Extractor<T> {
    /// Makes the parameter in the context of the event that the current task handles.
    pub fn extract(self) -> Result<T, BoxError> {
        (self.extract)()
    }

    /// Names what has to be there at start-up.
    pub fn needs(self, needs: &mut Needs) {
        (self.needs)(needs);
    }
}
