//! What the current task is handling.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use aury_events_backends::{
    BackendError, Delivery, Envelope, MaybeReady, Settle, Settlement, envelope::Cause,
};

use super::{Context, Core, SubscriptionInfo};

tokio::task_local! {
    /// What the current task is handling.
    static CURRENT: Current;
}

/// What a subscription's loop is handling, one delivery after the other.
pub(crate) struct Current {
    subscription: Arc<SubscriptionInfo>,
    /// Borrowed for a moment only; no code of the application runs meanwhile.
    delivery: RefCell<Option<Delivery>>,
    /// Whether another delivery stands in for it, and the handler settles it.
    is_taken: Cell<bool>,
}

impl Current {
    /// Runs the loop of a subscription.
    pub(crate) async fn scope<T>(
        subscription: Arc<SubscriptionInfo>,
        dispatch: impl Future<Output = T>,
    ) -> T {
        CURRENT
            .scope(
                Self { subscription, delivery: RefCell::default(), is_taken: Cell::default() },
                dispatch,
            )
            .await
    }

    /// Runs a future as if the handler of that event ran it. Nothing is settled by it.
    pub(super) async fn adopt<T>(context: Context, future: impl Future<Output = T>) -> T {
        let (envelope, attempt) = (context.envelope().clone(), context.attempt());
        let stand_in = Delivery::new(envelope, attempt, Arc::new(Elsewhere), 0);
        let current = Self {
            subscription: Arc::clone(context.subscription()),
            delivery: RefCell::new(Some(stand_in)),
            is_taken: Cell::new(true),
        };
        // The context keeps the buses running meanwhile.
        let done = CURRENT.scope(current, future).await;
        drop(context);
        done
    }

    /// Makes it the delivery that the loop is handling.
    #[inline]
    pub(crate) fn begin(delivery: Delivery) {
        CURRENT.with(|current| {
            current.is_taken.set(false);
            *current.delivery.borrow_mut() = Some(delivery);
        });
    }

    /// Runs a future as the handling of that delivery, which the loop gets back.
    ///
    /// The same as [`begin`](Self::begin) and [`end`](Self::end), in closures of its own: those are inlined in the loop
    /// because they are used there alone.
    pub(crate) async fn during<T>(
        delivery: Delivery,
        handling: impl Future<Output = T>,
    ) -> (Delivery, T) {
        CURRENT.with(|current| current.put(delivery));
        let handled = handling.await;
        let delivery = CURRENT.with(|current| current.delivery.take());
        (delivery.expect("only the loop takes what it has put here"), handled)
    }

    fn put(&self, delivery: Delivery) {
        self.is_taken.set(false);
        *self.delivery.borrow_mut() = Some(delivery);
    }

    /// Hands the delivery to the handler, and puts in its place what `stand_in` makes of its envelope and its attempt.
    /// `None` when that has been done.
    pub(crate) fn take(
        stand_in: impl FnOnce(&Envelope, u32) -> Delivery,
    ) -> Option<(Delivery, Arc<SubscriptionInfo>)> {
        let take = |current: &Self| {
            if current.is_taken.replace(true) {
                return None;
            }
            let mut slot = current.delivery.borrow_mut();
            let delivery = slot.as_mut()?;
            let stand_in = stand_in(delivery.envelope(), delivery.attempt());
            let taken = std::mem::replace(delivery, stand_in);
            Some((taken, Arc::clone(&current.subscription)))
        };
        CURRENT.try_with(take).ok().flatten()
    }

    /// Whether the handler has taken the delivery that the loop was handling, and settles it.
    pub(crate) fn is_taken() -> bool {
        CURRENT.with(|current| current.is_taken.get())
    }

    /// What is read off the delivery that the current task handles, if it handles one.
    #[inline]
    pub(super) fn read<T>(read: impl FnOnce(&Delivery, &Arc<SubscriptionInfo>) -> T) -> Option<T> {
        let read = |current: &Self| {
            let delivery = current.delivery.borrow();
            delivery.as_ref().map(|delivery| read(delivery, &current.subscription))
        };
        CURRENT.try_with(read).ok().flatten()
    }

    /// What the event that the current task handles hands on to those published now; `None` outside of handlers.
    #[inline]
    pub(crate) fn cause() -> Option<Cause> {
        Self::read(|delivery, _| delivery.metadata().as_cause())
    }

    /// Whether the current task is the loop of that subscription.
    pub(crate) fn is_of(subscription: &SubscriptionInfo) -> bool {
        let is_it = |current: &Self| std::ptr::eq(&*current.subscription, subscription);
        CURRENT.try_with(is_it).unwrap_or(false)
    }

    /// The id of the subscriber that the current task runs.
    pub(crate) fn subscriber() -> Option<String> {
        CURRENT.try_with(|current| current.subscription.id().to_owned()).ok()
    }

    /// The buses that the current task works for: `None` outside of handlers.
    pub(crate) fn core() -> Option<Arc<Core>> {
        CURRENT.try_with(|current| Arc::clone(current.subscription.core())).ok()
    }

    /// Takes back the delivery that the loop was handling.
    #[inline]
    pub(crate) fn end() -> Delivery {
        CURRENT
            .with(|current| current.delivery.borrow_mut().take())
            .expect("only the loop takes what it has put here")
    }
}

/// Settles what stands in for a delivery that is in other hands: not at all.
pub(crate) struct Elsewhere;

impl Settle for Elsewhere {
    fn settle(&self, _: &Delivery, _: Settlement) -> MaybeReady<'static, Result<(), BackendError>> {
        MaybeReady::ready(Ok(()))
    }

    fn give_back(&self, _: &Delivery) {}
}
