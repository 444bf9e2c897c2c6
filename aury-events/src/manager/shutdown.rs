//! How a manager ends in order.

use std::{collections::BTreeMap, time::Duration};

use aury_events_backends::{BoxFuture, InFlight};
use tokio::time::timeout;

use super::EventBusManager;
use crate::{
    error::{BackendFailure, ShutdownError},
    runtime::{Breaker, BusCore, Running},
};

/// How long aborted handlers have to give way. One that blocks its thread does not, and is left behind.
const ABORT_LIMIT: Duration = Duration::from_secs(1);

impl EventBusManager {
    /// Ends everything in order: applications' publishes are refused from now on, what was accepted is handled, with
    /// all that subscribers publish meanwhile, and the connections are closed.
    ///
    /// It may take as long as the longest `SHUTDOWN_TIMEOUT` of the buses; what is not handled by then is aborted. A
    /// subscriber that calls it waits for itself, so it runs into that limit.
    ///
    /// Calling it again changes nothing. When the future is dropped, nothing is aborted, and a further call goes on.
    ///
    /// # Errors
    ///
    /// When something was left over: see [`ShutdownError::left`]. When the Tokio runtime has ended that the buses were
    /// started on: see [`ShutdownError::is_runtime_ended`].
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        self.boxed_shutdown().await
    }

    /// No `async fn`, as for the start.
    fn boxed_shutdown(&self) -> BoxFuture<'_, Result<(), ShutdownError>> {
        Box::pin(self.shut_down())
    }

    async fn shut_down(&self) -> Result<(), ShutdownError> {
        let mut is_shut_down = self.0.is_shut_down.lock().await;
        if *is_shut_down {
            return Ok(());
        }
        if self.0.async_runtime.has_ended() {
            *is_shut_down = true;
            return Err(ShutdownError::runtime_ended(self.0.async_runtime.left()));
        }
        let buses = &self.0.buses;
        let limit = buses.iter().map(BusCore::shutdown_timeout).max().unwrap_or_default();
        // First of all, so that what a task of a handler publishes from now on is known for that.
        self.0.ending.drain();
        buses.iter().for_each(|bus| bus.backend().drain());
        let in_flight: Vec<_> = buses.iter().map(|bus| bus.backend().in_flight().clone()).collect();
        let in_time = timeout(limit, InFlight::all_settled(&in_flight)).await.is_ok();
        let is_complete = in_time && !in_flight.iter().any(InFlight::has_left);
        let (left, delayed) = if is_complete { (Vec::new(), 0) } else { self.unsettled() };
        self.0.ending.close();

        let running: Vec<_> = buses.iter().flat_map(BusCore::take_running).collect();
        if !is_complete {
            running.iter().for_each(|subscription| subscription.task.abort());
        }
        let mut failures = Vec::new();
        for bus in buses {
            if let Err(error) = bus.backend().close().await {
                failures.push(BackendFailure::new("close the connections", bus.name(), error));
            }
        }
        running
            .iter()
            .filter_map(|subscription| subscription.breaker.as_deref())
            .for_each(Breaker::end);
        end(running).await;
        self.0.async_runtime.is_over();
        *is_shut_down = true;
        ShutdownError::new(limit, left, delayed, failures)
    }

    /// The subscribers that hold unsettled deliveries or have spawned tasks, which are ended, with the number of these,
    /// and how many events wait for their delay to pass.
    fn unsettled(&self) -> (Vec<(String, u64)>, u64) {
        let health: Vec<_> = self.0.buses.iter().map(|bus| bus.backend().health()).collect();
        let mut left = BTreeMap::<String, u64>::new();
        for subscription in health.iter().flat_map(|health| &health.subscriptions) {
            *left.entry(subscription.subscriber.to_string()).or_default() += subscription.in_flight;
        }
        for subscriber in self.0.abort_spawned() {
            *left.entry(subscriber).or_default() += 1;
        }
        left.retain(|_, count| *count > 0);
        (left.into_iter().collect(), health.iter().map(|health| health.delayed).sum())
    }
}

/// Waits for the loops of closed or aborted subscriptions.
async fn end(running: Vec<Running>) {
    let ended = async {
        for subscription in running {
            // Its panics are caught; an abort is what was asked for.
            let _ = subscription.task.await;
        }
    };
    if timeout(ABORT_LIMIT, ended).await.is_err() {
        tracing::warn!(
            "a subscriber blocks its thread and could not be stopped; it is left behind"
        );
    }
}
