//! The connections of a bus to its broker, supervised by a [`kit::Link`](crate::kit::Link).
//!
//! The client library's own recovery gives up after some attempts, and then everything that waits for it hangs, so it
//! is not used. It tells at once when a connection ends or is blocked.

use std::{error::Error, pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use lapin::{Channel, Event};
use tokio::{select, time::interval};

use super::broker::{Broker, Connected, is_refusal};
use crate::{
    error::BackendError,
    kit::{self, AttemptError, Connector, Pause, background},
};

/// How often a connection is looked at, beside what it tells by itself.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A supervised connection to RabbitMQ.
pub(super) type Link = kit::Link<BrokerConnector>;

/// Opens connections for a purpose, and watches them.
pub(super) struct BrokerConnector {
    broker: Broker,
    /// The word for it in log lines and in the broker's lists.
    purpose: &'static str,
}

impl BrokerConnector {
    pub(super) fn new(broker: Broker, purpose: &'static str) -> Self {
        Self { broker, purpose }
    }
}

impl Connector for BrokerConnector {
    type Connection = Arc<Connected>;

    fn server(&self) -> &str {
        "RabbitMQ"
    }

    fn address(&self) -> &str {
        self.broker.address()
    }

    fn purpose(&self) -> &str {
        self.purpose
    }

    async fn open(&self) -> Result<Arc<Connected>, AttemptError> {
        match self.broker.open(self.purpose).await {
            Ok(connected) => Ok(Arc::new(connected)),
            Err(error) if is_refusal(&error) => Err(AttemptError::refused(error)),
            Err(error) => Err(AttemptError::transient(error)),
        }
    }

    /// Takes note of what the connection tells, until it has ended.
    async fn until_lost(
        &self,
        connected: &Arc<Connected>,
        pause: Pause<'_>,
    ) -> Box<dyn Error + Send + Sync> {
        let mut events = pin!(connected.connection.events_listener());
        let mut looks = interval(LOOK_EVERY);
        let mut why: Box<dyn Error + Send + Sync> = "the connection has ended".into();
        loop {
            select! {
                event = events.next() => match event {
                    Some(Event::Error(error)) => why = error.into(),
                    Some(Event::ConnectionBlocked(reason)) => pause(Some(&reason)),
                    Some(Event::ConnectionUnblocked) => pause(None),
                    Some(_) => {}
                    None => return why,
                },
                _ = looks.tick() => {}
            }
            if self.has_ended(connected) {
                return why;
            }
        }
    }

    fn has_ended(&self, connected: &Arc<Connected>) -> bool {
        !connected.connection.status().connected()
    }

    fn cut(&self, connected: &Arc<Connected>) {
        connected.cut();
    }

    /// Not on the application's runtime, which may be about to end: acknowledgements are still on their way.
    fn release(&self, connected: Arc<Connected>) {
        match background() {
            Ok(runtime) => drop(runtime.spawn(async move { connected.close().await })),
            Err(_) => connected.cut(),
        }
    }

    async fn close(&self, connected: Arc<Connected>) {
        connected.close().await;
    }
}

/// Opens a channel, as soon as there is a connection on which the broker takes what it is sent.
///
/// # Errors
///
/// When the link is closed, or the connection is lost meanwhile.
pub(super) async fn channel(link: &Link) -> Result<Channel, BackendError> {
    let connected = link.ready().await?;
    let opened = connected.connection.create_channel().await;
    opened.map_err(|error| {
        BackendError::other(format!("open a channel for {}", link.connector().purpose()), error)
    })
}
