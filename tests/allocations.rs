//! How often publishing and handling an event allocates: once, for the `Arc` of the event, and never when it comes in
//! one. The fields of the event here own no heap.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

/// The system's allocator, with a count of what each thread asks it for.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HANDLED: Cell<u64> = const { Cell::new(0) };
}

#[allow(unsafe_code, reason = "there is no safe way to count allocations")]
// SAFETY: all that is asked for is passed on to `System`, as it is. `realloc` and `alloc_zeroed` do that by `alloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises; `alloc` has it from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order.created")]
struct OrderCreated {
    #[event(key)]
    order_id: u64,
    amount: f64,
    items: u32,
}

fn order(order_id: u64) -> OrderCreated {
    OrderCreated { order_id, amount: 99.0, items: 2 }
}

/// Subscribers of all the forms that there are without `Clone`.
macro_rules! subscribers {
    ($($name:ident($event:ty $(, $parameter:ty)?);)*) => {$(
        #[subscribe(when = |event| event.amount > 0.0)]
        async fn $name(_: $event $(, _: $parameter)?) {
            HANDLED.set(HANDLED.get() + 1);
        }
    )*};
}
subscribers! {
    one(&OrderCreated);
    two(Arc<OrderCreated>);
    three(&OrderCreated, Context);
    four(&OrderCreated, State<u64>);
    five(&OrderCreated, EventBus);
}

const EVENTS: u64 = 1_000;
/// As many as fit into a queue, so that the publisher never waits: a wait is one more allocation.
const BURST: u64 = 100;

/// How many allocations it takes to publish `EVENTS` events made by `event` and to have them handled, `burst` at a time.
async fn allocations<T: aury_events::IntoEvent>(
    subscribers: &str,
    burst: u64,
    event: impl Fn(u64) -> T,
) -> u64 {
    let builder = EventBusManager::builder().subscribers(subscribers).state(7_u64);
    let events = builder.start().await.unwrap();
    let bus = events.default_bus();
    let publish = async || {
        for number in 0..EVENTS {
            bus.publish(event(number)).await.unwrap();
            if (number + 1).is_multiple_of(burst) {
                bus.settled().await;
            }
        }
    };
    publish().await;
    let (before, handled) = (ALLOCATIONS.get(), HANDLED.get());
    publish().await;
    let counted = ALLOCATIONS.get() - before;
    let running = events.catalogue().subscribers.len() as u64;
    assert_eq!(HANDLED.get() - handled, running * EVENTS, "every subscriber has run");
    events.shutdown().await.unwrap();
    counted
}

#[tokio::test]
async fn an_event_is_one_allocation_from_publish_to_handled() {
    for burst in [1, BURST] {
        assert_eq!(allocations("*::one", burst, order).await, EVENTS, "in bursts of {burst}");
    }
}

#[tokio::test]
async fn an_event_is_one_allocation_for_five_subscribers_too() {
    for burst in [1, BURST] {
        assert_eq!(allocations("*", burst, order).await, EVENTS, "in bursts of {burst}");
    }
}

#[tokio::test]
async fn an_event_published_in_an_arc_is_no_allocation() {
    let event = Arc::new(order(7));
    for burst in [1, BURST] {
        let counted = allocations("*", burst, |_| Arc::clone(&event)).await;
        assert_eq!(counted, 0, "in bursts of {burst}");
    }
}
