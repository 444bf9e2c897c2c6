//! The reading end of an [`Inbox`].

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::{Sleep, sleep_until};

use super::{Inbox, Intake, Next};
use crate::delivery::{Cancel, Consumer, Delivery};

/// Hands out what an inbox holds. Dropping it leaves what waits there to other processes.
pub(crate) struct StreamConsumer {
    inbox: Arc<Inbox>,
    /// Wakes the task when the next retry is due.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl StreamConsumer {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, alarm: None }
    }
}

impl Consumer for StreamConsumer {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        loop {
            let due = match self.inbox.next(cx.waker()) {
                Next::Delivery(delivery) => return Poll::Ready(Some(delivery)),
                Next::End => return Poll::Ready(None),
                Next::Later(None) => return Poll::Pending,
                Next::Later(Some(due)) => due,
            };
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if alarm.deadline() != due {
                alarm.as_mut().reset(due);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
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
