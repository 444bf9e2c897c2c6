//! A pause for subscribers that keep failing.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use aury_events_backends::{Cancel, Consumer, Delivery, kit::lock};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::SubscriberFilter;

/// Has a subscriber that keeps failing take no events for a while: what it depends on is probably down.
///
/// After so many failed attempts within a window of time, the subscriber takes nothing more for the length of the
/// pause. Its events stay where they are, in the queue or with the broker; none is lost and none becomes a dead letter
/// by that. Then it takes one event: if that is handled, it goes on as before, and if not, another pause begins. What it
/// had taken before the pause is finished, retries in place included.
///
/// Each change is a line in the log, and [`SubscriptionHealth::is_paused`](crate::SubscriptionHealth::is_paused) tells
/// of the pause. Shutdown waits for a subscriber that pauses as for any other, up to its limit.
///
/// ```
/// use std::time::Duration;
///
/// use aury_events::{CircuitBreaker, prelude::*};
///
/// let breaker = CircuitBreaker::new(5, Duration::from_secs(10)).pause(Duration::from_secs(60));
/// let builder = EventBusManager::builder().circuit_breaker("shop::mail::*", breaker);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct CircuitBreaker {
    failures: usize,
    window: Duration,
    pause: Duration,
}

impl CircuitBreaker {
    /// Pauses after so many failed attempts, at least one, within that time. The pause is half a minute.
    pub fn new(failures: usize, window: Duration) -> Self {
        Self { failures: failures.max(1), window, pause: Duration::from_secs(30) }
    }

    /// Sets how long a pause is.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}

/// The circuit breakers of a manager, each for some subscribers.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Vec<(SubscriberFilter, CircuitBreaker)>);

impl Breakers {
    pub(crate) fn add(&mut self, globs: &str, breaker: CircuitBreaker) {
        self.0.push((SubscriberFilter::parse(globs), breaker));
    }

    /// A breaker for that subscriber: the first that selects it.
    pub(crate) fn of(&self, subscriber: &Arc<str>) -> Option<Arc<Breaker>> {
        let (_, settings) = self.0.iter().find(|(filter, _)| filter.selects(subscriber))?;
        let state = State { phase: Phase::Closed, failures: VecDeque::new(), consumer: None };
        Some(Arc::new(Breaker {
            subscriber: Arc::clone(subscriber),
            settings: *settings,
            state: Mutex::new(state),
        }))
    }
}

/// What an attempt says about the health of a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Success,
    Failure,
    /// The handler was not called.
    None,
}

/// The circuit breaker of one subscription.
pub(crate) struct Breaker {
    subscriber: Arc<str>,
    settings: CircuitBreaker,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// When attempts failed, within the window; no more than it takes to pause.
    failures: VecDeque<Instant>,
    /// The consumer, while it is held back.
    consumer: Option<Waker>,
}

enum Phase {
    /// Events flow.
    Closed,
    Paused {
        until: Instant,
    },
    /// One event goes through, and its outcome decides.
    Trying {
        is_out: bool,
    },
    /// The subscription is over, and nothing is held back.
    Ended,
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn is_paused(&self) -> bool {
        matches!(self.state().phase, Phase::Paused { .. })
    }

    /// Takes note of an attempt.
    pub(crate) fn note(&self, sign: Sign) {
        let mut state = self.state();
        match (&mut state.phase, sign) {
            (Phase::Closed, Sign::Failure) => {
                let now = Instant::now();
                let window = self.settings.window;
                state.failures.retain(|failed| now.duration_since(*failed) <= window);
                state.failures.push_back(now);
                if state.failures.len() >= self.settings.failures {
                    tracing::warn!(
                        subscriber = &*self.subscriber,
                        pause = ?self.settings.pause,
                        "the subscriber failed {} times within {window:?}: it pauses",
                        self.settings.failures
                    );
                    state.pause(self.settings.pause);
                }
            }
            (Phase::Trying { .. }, Sign::Failure) => {
                tracing::warn!(
                    subscriber = &*self.subscriber,
                    pause = ?self.settings.pause,
                    "the subscriber still fails: it pauses again"
                );
                state.pause(self.settings.pause);
            }
            (Phase::Trying { .. }, Sign::Success) => {
                tracing::info!(subscriber = &*self.subscriber, "the subscriber works again");
                state.phase = Phase::Closed;
            }
            (Phase::Trying { is_out }, Sign::None) => *is_out = false,
            _ => return,
        }
        wake(state);
    }

    /// Holds back nothing any more.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.phase = Phase::Ended;
        wake(state);
    }

    /// Ready when an event may be taken; until when to wait, otherwise.
    fn poll_permit(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        match state.phase {
            Phase::Closed | Phase::Ended | Phase::Trying { is_out: false } => Poll::Ready(()),
            Phase::Paused { until } if until <= Instant::now() => {
                tracing::info!(
                    subscriber = &*self.subscriber,
                    "the pause is over: one event is tried"
                );
                state.phase = Phase::Trying { is_out: false };
                Poll::Ready(())
            }
            Phase::Paused { .. } | Phase::Trying { is_out: true } => {
                state.consumer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn pause_ends(&self) -> Option<Instant> {
        match self.state().phase {
            Phase::Paused { until } => Some(until),
            _ => None,
        }
    }

    /// Takes note that an event has been taken.
    fn let_through(&self) {
        if let Phase::Trying { is_out } = &mut self.state().phase {
            *is_out = true;
        }
    }
}

impl State {
    fn pause(&mut self, pause: Duration) {
        self.failures.clear();
        self.phase = Phase::Paused { until: Instant::now() + pause };
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let consumer = state.consumer.take();
    drop(state);
    if let Some(consumer) = consumer {
        consumer.wake();
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("settings", &self.settings)
            .field("is_paused", &self.is_paused())
            .finish_non_exhaustive()
    }
}

/// A consumer that takes nothing while its breaker pauses.
pub(crate) struct Guarded {
    consumer: Box<dyn Consumer>,
    breaker: Arc<Breaker>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub(crate) fn new(consumer: Box<dyn Consumer>, breaker: Arc<Breaker>) -> Self {
        Self { consumer, breaker, alarm: None }
    }

    fn poll_permit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.breaker.poll_permit(cx).is_ready() {
                self.alarm = None;
                return Poll::Ready(());
            }
            let Some(end) = self.breaker.pause_ends() else { return Poll::Pending };
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
            if alarm.deadline() != end {
                alarm.as_mut().reset(end);
            }
            ready!(alarm.as_mut().poll(cx));
        }
    }
}

impl Consumer for Guarded {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        ready!(self.poll_permit(cx));
        let next = ready!(self.consumer.poll_next(cx));
        if next.is_some() {
            self.breaker.let_through();
        }
        Poll::Ready(next)
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        self.consumer.canceller()
    }
}
