//! A connection that is made again whenever it is lost.
//!
//! The client library's own recovery gives up after some attempts, and then everything that waits for it hangs. A
//! [`Link`] looks after its connection by itself: it is told at once when the connection ends or is blocked, and tries
//! again for ever.

use std::{ops::ControlFlow, pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use lapin::{Channel, Event};
use tokio::{
    sync::watch,
    time::{Instant, interval, sleep, timeout_at},
};

use super::broker::{Broker, Connected, is_refusal};
use crate::{
    error::BackendError,
    kit::{Backoff, background, due_after},
};

/// How often a connection is looked at, beside what it tells by itself.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The wait after a broker has refused us that had taken us before: somebody has to change something first.
const AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// A supervised connection. Whoever makes it runs [`supervise`](Self::supervise) in a task.
pub(super) struct Link {
    broker: Broker,
    /// The word for it in log lines and in the broker's lists.
    purpose: &'static str,
    state: watch::Sender<State>,
}

enum State {
    Down,
    Up(Up),
    /// For good.
    Closed,
}

#[derive(Clone)]
struct Up {
    connected: Arc<Connected>,
    /// Why the broker takes nothing at the moment (RabbitMQ's `connection.blocked`).
    blocked: Option<Arc<str>>,
}

impl Link {
    /// Connects, waiting up to `limit` for a broker that is late.
    ///
    /// # Errors
    ///
    /// When the broker refuses us, as with a wrong password, at once; when it cannot be reached, past the limit.
    pub(super) async fn connect(
        broker: Broker,
        purpose: &'static str,
        limit: Duration,
    ) -> Result<Arc<Self>, BackendError> {
        let link = Arc::new(Self { broker, purpose, state: watch::Sender::new(State::Down) });
        let deadline = due_after(limit);
        let address = link.broker.address();
        let mut last = None;
        let connecting = link.keep_trying(|error| {
            if is_refusal(&error) {
                return ControlFlow::Break(error);
            }
            if last.is_none() {
                tracing::info!(address, purpose, %error, "waiting for RabbitMQ");
            }
            last = Some(error);
            ControlFlow::Continue(Duration::ZERO)
        });
        let outcome = timeout_at(deadline, connecting).await;
        match outcome {
            Ok(Ok(())) => Ok(link),
            Ok(Err(refusal)) => {
                Err(BackendError::other(format!("connect to RabbitMQ at {address}"), refusal))
            }
            Err(_) => Err(match last {
                Some(error) => BackendError::other(
                    format!("connect to RabbitMQ at {address} within {limit:?}"),
                    error,
                ),
                None => BackendError::timed_out(format!("connect to RabbitMQ at {address}"), limit),
            }),
        }
    }

    /// Looks after the connection until it is closed: to be run in a task that is aborted in the end.
    pub(super) async fn supervise(self: Arc<Self>) {
        // The client library's own tasks go on when the application's runtime is shut down.
        let _abandoned = Abandoned(&self);
        let (address, purpose) = (self.broker.address(), self.purpose);
        while let Some(up) = self.up() {
            let error = self.until_lost(&up.connected).await;
            drop(up);
            self.set(|state| *state = State::Down);
            if self.is_closed() {
                return;
            }
            let since = Instant::now();
            tracing::warn!(address, purpose, error, "lost the connection to RabbitMQ");
            let mut was_refused = false;
            let reconnecting = self.keep_trying(|error| {
                if !is_refusal(&error) {
                    return ControlFlow::Continue(Duration::ZERO);
                }
                if !std::mem::replace(&mut was_refused, true) {
                    tracing::error!(address, purpose, %error, "RabbitMQ refuses the connection");
                }
                ControlFlow::Continue(AFTER_REFUSAL)
            });
            // Without a break, it ends with success alone.
            let _ = reconnecting.await;
            tracing::info!(
                address,
                purpose,
                "restored the connection to RabbitMQ after {:?}",
                since.elapsed()
            );
        }
    }

    /// Tries to connect until it succeeds, or `on_error` breaks off. What `on_error` continues with is the shortest wait
    /// before the next attempt.
    async fn keep_trying(
        &self,
        mut on_error: impl FnMut(lapin::Error) -> ControlFlow<lapin::Error, Duration> + Send,
    ) -> lapin::Result<()> {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.broker.open(self.purpose).await {
                Ok(connected) => {
                    let up = Up { connected: Arc::new(connected), blocked: None };
                    self.set(|state| *state = State::Up(up));
                    return Ok(());
                }
                Err(error) => error,
            };
            match on_error(error) {
                ControlFlow::Break(error) => return Err(error),
                ControlFlow::Continue(shortest) => sleep(backoff.next_wait().max(shortest)).await,
            }
        }
    }

    /// Takes note of what the connection tells, until it has ended; gives the reason.
    async fn until_lost(&self, connected: &Connected) -> String {
        let mut events = pin!(connected.connection.events_listener());
        let mut looks = interval(LOOK_EVERY);
        let mut why = "the connection has ended".to_owned();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Error(error)) => why = error.to_string(),
                    Some(Event::ConnectionBlocked(reason)) => self.note_blocked(Some(reason.into())),
                    Some(Event::ConnectionUnblocked) => self.note_blocked(None),
                    Some(_) => {}
                    None => return why,
                },
                _ = looks.tick() => {}
            }
            if !connected.connection.status().connected() {
                return why;
            }
        }
    }

    fn note_blocked(&self, reason: Option<Arc<str>>) {
        let (address, purpose) = (self.broker.address(), self.purpose);
        match &reason {
            Some(reason) => tracing::warn!(address, purpose, %reason, "RabbitMQ takes nothing now"),
            None => tracing::info!(address, purpose, "RabbitMQ takes messages again"),
        }
        self.set(|state| {
            if let State::Up(up) = state {
                up.blocked = reason;
            }
        });
    }

    /// Ends a connection on which the broker does not answer, so that another one is made.
    ///
    /// RabbitMQ (seen on 3.10.8) reads nothing more from a connection that was publishing to a quorum queue when that
    /// was deleted: it waits for ever for what the queue owes it, while its heartbeats go on.
    pub(super) fn abandon(&self) {
        if let Some(Up { connected, blocked: None }) = self.up() {
            let (address, purpose) = (self.broker.address(), self.purpose);
            tracing::warn!(address, purpose, "RabbitMQ does not answer; ending the connection");
            connected.cut();
        }
    }

    /// Ends the connection at once, if there is one: the broker gives what it held to others.
    pub(super) fn cut(&self) {
        if let Some(up) = self.up() {
            up.connected.cut();
        }
    }

    /// Lets go of the connection for good; whoever waits for it is told.
    pub(super) async fn close(&self) {
        let mut last = State::Closed;
        self.state.send_modify(|state| std::mem::swap(state, &mut last));
        if let State::Up(up) = last {
            up.connected.close().await;
        }
    }

    /// Changes the state, unless it is closed.
    fn set(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let is_open = !matches!(state, State::Closed);
            if is_open {
                change(state);
            }
            is_open
        });
    }

    fn up(&self) -> Option<Up> {
        match &*self.state.borrow() {
            State::Up(up) => Some(up.clone()),
            State::Down | State::Closed => None,
        }
    }

    fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::Closed)
    }

    /// What is wrong with the connection, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Up(Up { blocked: None, .. }) => None,
            State::Up(Up { blocked: Some(reason), .. }) => {
                Some(format!("RabbitMQ has blocked the connection for {}: {reason}", self.purpose))
            }
            State::Down => {
                Some(format!("there is no connection for {} at the moment", self.purpose))
            }
            State::Closed => Some("the bus has been shut down".to_owned()),
        }
    }

    /// Waits until there is a connection, and the broker takes what it is sent. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the link is closed.
    async fn ready(&self) -> Result<Arc<Connected>, BackendError> {
        let mut state = self.state.subscribe();
        let is_settled = |state: &State| match state {
            State::Down => false,
            State::Up(up) => up.blocked.is_none(),
            State::Closed => true,
        };
        // The sender is ours, so that waiting does not fail.
        let state = state.wait_for(is_settled).await;
        match state.as_deref() {
            Ok(State::Up(up)) => Ok(Arc::clone(&up.connected)),
            _ => Err(BackendError::closed()),
        }
    }

    /// Waits until the broker takes what it is sent; see [`ready`](Self::ready).
    pub(super) async fn unblocked(&self) -> Result<(), BackendError> {
        self.ready().await.map(drop)
    }

    /// Whether the broker takes nothing at the moment, or there is no connection to it.
    pub(super) fn is_blocked(&self) -> bool {
        !matches!(&*self.state.borrow(), State::Up(Up { blocked: None, .. }))
    }

    /// Opens a channel, as soon as there is a connection.
    ///
    /// # Errors
    ///
    /// When the link is closed, or the connection is lost meanwhile.
    pub(super) async fn channel(&self) -> Result<Channel, BackendError> {
        let connected = self.ready().await?;
        let opened = connected.connection.create_channel().await;
        opened.map_err(|error| {
            BackendError::other(format!("open a channel for {}", self.purpose), error)
        })
    }
}

/// Closes the connection when nobody looks after it any more: what was settled is still told, and others are given what
/// it held.
struct Abandoned<'a>(&'a Link);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        let Some(up) = self.0.up() else { return };
        match background() {
            Ok(background) => drop(background.spawn(async move { up.connected.close().await })),
            Err(_) => up.connected.cut(),
        }
    }
}
