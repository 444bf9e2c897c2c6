//! A delivery in the hands of its subscriber.

use std::{fmt, sync::Arc, time::Duration};

use aury_events_backends::{DeadLetterReason, Delivery, EventId, Settlement};

use super::Extractor;
use crate::{
    declared::Needs,
    error::{BackendFailure, BoxError},
    runtime::{Context, Current, Elsewhere, SubscriptionInfo},
};

/// The delivery of an event, which the subscriber settles by itself: at once, or later and in another task.
///
/// A subscriber that takes it as a parameter is done with the event when it says so, not when it returns. Each way of
/// settling consumes the receipt, so an event is not settled twice; a receipt that is dropped gives the event back, to
/// be delivered again at once. What the subscriber returns changes nothing any more: an error is logged.
///
/// The subscriber goes on to the next event when its function returns, so it is up to the function how many receipts it
/// holds; a broker hands out as many as `EVENT_PREFETCH` allows. Shutdown waits for them. The options that say what
/// becomes of an event, `retry`, `idempotent`, `batch` and `ordered`, do not go with it: start-up says so.
///
/// ```
/// use std::time::Duration;
///
/// use aury_events::{Receipt, prelude::*};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, Event)] struct VideoUploaded;
/// # async fn transcode() -> Result<(), std::io::Error> { Ok(()) }
///
/// #[subscribe]
/// async fn start_transcoding(event: &VideoUploaded, receipt: Receipt) {
///     tokio::spawn(async move {
///         let settled = match transcode().await {
///             Ok(()) => receipt.ack().await,
///             Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
///                 receipt.retry_after(Duration::from_secs(60)).await
///             }
///             Err(error) => receipt.dead_letter(error).await,
///         };
///         if let Err(error) = settled {
///             eprintln!("the video may be transcoded again: {error}");
///         }
///     });
/// }
/// ```
#[must_use = "a receipt that is dropped gives the event back, to be delivered again"]
pub struct Receipt {
    delivery: Delivery,
    subscription: Arc<SubscriptionInfo>,
}

impl Receipt {
    /// The id of the event.
    pub fn event_id(&self) -> EventId {
        self.delivery.metadata().id()
    }

    /// The event is done with.
    ///
    /// # Errors
    ///
    /// When the backend could not take note: the event may be delivered again. So it may when the future is dropped.
    pub async fn ack(self) -> Result<(), BackendFailure> {
        self.settle("acknowledge an event", Settlement::Ack).await
    }

    /// The event is to be delivered again after that time.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub async fn retry_after(self, after: Duration) -> Result<(), BackendFailure> {
        self.settle("put an event back", Settlement::Retry { after }).await
    }

    /// The event becomes a dead letter, with this reason.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub async fn dead_letter(self, error: impl Into<BoxError>) -> Result<(), BackendFailure> {
        let reason = DeadLetterReason::Failed(error.into());
        self.settle("keep a dead letter", Settlement::DeadLetter(reason)).await
    }

    async fn settle(self, what: &str, settlement: Settlement) -> Result<(), BackendFailure> {
        let settled = self.delivery.settle(settlement).await;
        settled.map_err(|error| BackendFailure::new(what, self.subscription.bus().name(), error))
    }
}

impl Extractor for Receipt {
    async fn extract(_: &Context) -> Result<Self, BoxError> {
        let taken = Current::take(|envelope, attempt| {
            Delivery::new(envelope.clone(), attempt, Arc::new(Elsewhere), 0)
        });
        let (delivery, subscription) = taken.ok_or("the receipt of this event has been taken")?;
        Ok(Self { delivery, subscription })
    }

    fn needs(needs: &mut Needs) {
        needs.receipts += 1;
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("delivery", &self.delivery)
            .field("subscriber", &self.subscription.id())
            .finish()
    }
}
