//! Where a dispatch loop gets its deliveries from: alone, or shared with others of the same subscription.

use std::{future::poll_fn, sync::Arc};

use aury_events_backends::{Consumer, Delivery};
use tokio::sync::Mutex;

/// A loop's stream of deliveries, one at a time.
pub(super) trait Source: Send {
    /// The next delivery; the one before has been settled. `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Delivery>> + Send;
}

/// All deliveries of a subscription go to one loop.
pub(super) struct Alone(pub(super) Box<dyn Consumer>);

impl Source for Alone {
    #[inline]
    fn next(&mut self) -> impl Future<Output = Option<Delivery>> + Send {
        poll_fn(|cx| self.0.poll_next(cx))
    }
}

/// Each delivery goes to whichever of several loops is free.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Alone>>);

impl Shared {
    pub(super) fn new(consumer: Box<dyn Consumer>) -> Self {
        Self(Arc::new(Mutex::new(Alone(consumer))))
    }
}

impl Source for Shared {
    async fn next(&mut self) -> Option<Delivery> {
        // One loop waits for the next delivery, the others wait for their turn.
        self.0.lock().await.next().await
    }
}
