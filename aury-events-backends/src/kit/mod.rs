//! What every backend needs, written once: for those who write a backend that leaves the process.
//!
//! | a backend | has it from |
//! |---|---|
//! | connects, and connects again whenever the connection is lost | [`Link`], with a [`Connector`] of its own |
//! | repeats what may yet succeed, until a time | [`retry`] with a [`Deadline`]; [`AttemptError`] says what may |
//! | waits between attempts | [`Backoff`], [`jittered`] |
//! | runs tasks that must not end with a panic, and that end with the backend | [`Tasks`], [`supervise`] |
//! | reads what others have sent | [`catch`]: a panic over one message is an error of that message |
//! | holds deliveries for a slow subscriber, within bounds | [`Backlog`], [`wake`] |
//! | ends a subscription stage by stage | [`Intake`], [`Stages`] |
//! | gives its subscribers names on a server | [`subscriber_name`], [`SEPARATOR`] |
//! | logs what lasts once per change, and then once a minute | [`LogThrottle`] |
//! | keeps its locks when a thread panics | [`lock`], [`read`], [`write()`] |
//! | gives signs of life while handlers block the application's runtime | [`background`] |
//!
//! ```
//! use std::{error::Error, time::Duration};
//!
//! use aury_events_backends::{
//!     BackendError,
//!     kit::{AttemptError, Connector, Deadline, Link, Pause},
//! };
//! use tokio::net::TcpStream;
//!
//! /// A server that is spoken to by one TCP connection.
//! struct Server {
//!     address: String,
//! }
//!
//! impl Connector for Server {
//!     type Connection = std::sync::Arc<TcpStream>;
//!
//!     fn server(&self) -> &str {
//!         "ExampleMQ"
//!     }
//!
//!     fn address(&self) -> &str {
//!         &self.address
//!     }
//!
//!     fn purpose(&self) -> &str {
//!         "everything"
//!     }
//!
//!     async fn open(&self) -> Result<Self::Connection, AttemptError> {
//!         let stream = TcpStream::connect(&self.address).await;
//!         stream.map(Into::into).map_err(AttemptError::transient)
//!     }
//!
//!     async fn until_lost(
//!         &self,
//!         connection: &Self::Connection,
//!         _pause: Pause<'_>,
//!     ) -> Box<dyn Error + Send + Sync> {
//!         match connection.peek(&mut [0]).await {
//!             Ok(_) => "the server has said something, or has ended the connection".into(),
//!             Err(error) => error.into(),
//!         }
//!     }
//! }
//!
//! # async fn example() -> Result<(), BackendError> {
//! let server = Server { address: "localhost:4222".to_owned() };
//! let link = Link::connect(server, Deadline::after(Duration::from_secs(30))).await?;
//! // Waits for a connection that is down; what fails says why there is none.
//! let operation = || "publish order.created".to_owned();
//! link.run(operation, Duration::from_secs(10), async |connection| connection.writable().await).await?;
//! link.close().await;
//! # Ok(())
//! # }
//! ```

#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod background;
mod backlog;
mod backoff;
mod deadline;
mod delayed;
mod intake;
#[cfg(feature = "wire")]
mod link;
mod log_throttle;
mod names;
mod nobody_listens;
mod once_a_minute;
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod pulse;
mod retry;
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
mod stage;
mod tasks;

pub(crate) use self::delayed::{Alarm, Delayed, due_after};
#[cfg(feature = "wire")]
pub use self::link::{Connector, Link, Pause};
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
pub use self::{
    background::background,
    pulse::{Watcher, pulse},
};
pub use self::{
    backlog::{Backlog, Parked, wake},
    backoff::{Backoff, jittered},
    deadline::Deadline,
    intake::{Intake, Stages},
    log_throttle::LogThrottle,
    names::{SEPARATOR, subscriber_name},
    nobody_listens::NobodyListens,
    once_a_minute::OnceAMinute,
    retry::{AttemptError, retry},
    tasks::{TaskName, Tasks, catch, supervise},
};
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
pub(crate) use self::{delayed::IN_PLACE, stage::Stage};
#[doc(inline)]
pub use crate::sync::{lock, read, write};
