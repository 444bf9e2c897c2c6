//! The reading end of an inbox.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{Inbox, Intake};
use crate::{
    delivery::{Cancel, Consumer, Delivery},
    kit::Alarm,
};

/// Ends a subscription from outside.
struct Canceller(Arc<Inbox>);

impl Cancel for Canceller {
    fn cancel(&self) {
        self.0.advance(Intake::Cancelled);
    }
}

/// The reading end of an [`Inbox`]. Dropping it gives what waits back to the broker.
pub(in crate::rabbitmq) struct InboxConsumer {
    inbox: Arc<Inbox>,
    alarm: Alarm,
}

impl InboxConsumer {
    pub(in crate::rabbitmq) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, alarm: Alarm::default() }
    }
}

impl Consumer for InboxConsumer {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.inbox.next(&mut self.alarm, cx)
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::new(Canceller(Arc::clone(&self.inbox)))
    }
}

impl Drop for InboxConsumer {
    fn drop(&mut self) {
        self.inbox.advance(Intake::Abandoned);
        self.inbox.flush();
    }
}
