//! The reading end of an [`Inbox`].

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{Inbox, Intake, Next};
use crate::{
    delivery::{Cancel, Consumer, Delivery},
    kit::Alarm,
};

/// Hands out what an inbox holds. Dropping it leaves what waits there to other processes.
pub(crate) struct StreamConsumer {
    inbox: Arc<Inbox>,
    /// Wakes the task when the next retry is due.
    alarm: Alarm,
}

impl StreamConsumer {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, alarm: Alarm::default() }
    }
}

impl Consumer for StreamConsumer {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        match self.inbox.next(cx.waker()) {
            Next::Delivery(delivery) => return Poll::Ready(Some(delivery)),
            Next::End => return Poll::Ready(None),
            Next::Later(None) => {}
            Next::Later(Some(due)) => self.alarm.set(due, cx),
        }
        Poll::Pending
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::clone(&self.inbox) as _
    }
}

impl Drop for StreamConsumer {
    fn drop(&mut self) {
        self.inbox.advance(Intake::Abandoned);
    }
}

impl Cancel for Inbox {
    fn cancel(&self) {
        self.advance(Intake::Cancelled);
    }
}
