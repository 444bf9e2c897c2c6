//! What a subscription still does, on its way to its end.

/// What is still done. It only ever goes on to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Intake {
    Open,
    /// Nothing more is read; what is here is handed out.
    Draining,
    /// The same, and the stream of deliveries ends with what is here.
    Cancelled,
    /// Nobody will take what waits here; what handlers hold is still settled.
    Abandoned,
    /// Nothing is handed out; what has been settled by now is told to the server.
    Closed,
    /// Nothing is told to the server any more.
    Over,
}
