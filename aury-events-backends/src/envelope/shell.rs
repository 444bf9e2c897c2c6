//! Where envelopes live: allocations that are used again.
//!
//! An event is one allocation, the `Arc` of its value. Its metadata is a second one, shared by all subscribers, and
//! would double the cost of an event if it were allocated and freed each time. So each thread keeps the shells of
//! envelopes that are done with, empty, for those that it publishes next. A shell that was filled on one thread and
//! is emptied on another stays there; at worst, it is allocated and freed as usual.

use std::{cell::RefCell, sync::Arc};

use super::{Metadata, Payload};

/// How many empty shells a thread keeps: as many as fill a subscriber's queue by default.
const SPARE: usize = 1024;

thread_local! {
    static EMPTY: RefCell<Vec<Arc<Option<Contents>>>> = const { RefCell::new(Vec::new()) };
}

struct Contents {
    metadata: Metadata,
    payload: Payload,
}

/// A shared place for the contents of an envelope.
#[derive(Clone)]
pub(super) struct Shell {
    /// `None` only while it is dropped.
    contents: Option<Arc<Option<Contents>>>,
}

impl Shell {
    #[inline]
    pub(super) fn of(metadata: Metadata, payload: Payload) -> Self {
        let contents = Some(Contents { metadata, payload });
        let spare = EMPTY.try_with(|empty| empty.borrow_mut().pop()).ok().flatten();
        let filled = match spare {
            Some(mut shell) => match Arc::get_mut(&mut shell) {
                Some(place) => {
                    *place = contents;
                    shell
                }
                None => Arc::new(contents),
            },
            None => Arc::new(contents),
        };
        Self { contents: Some(filled) }
    }

    #[inline]
    fn contents(&self) -> &Contents {
        let contents = self.contents.as_deref().and_then(Option::as_ref);
        contents.expect("a shell is full until its last owner drops it")
    }

    #[inline]
    pub(super) fn metadata(&self) -> &Metadata {
        &self.contents().metadata
    }

    #[inline]
    pub(super) fn payload(&self) -> &Payload {
        &self.contents().payload
    }
}

impl Drop for Shell {
    #[inline]
    fn drop(&mut self) {
        let Some(mut shell) = self.contents.take() else { return };
        if let Some(place) = Arc::get_mut(&mut shell) {
            // The event is dropped before the shell is put away: dropping it may drop further envelopes.
            *place = None;
            // A thread that is ending has no use for it any more.
            let _ = EMPTY.try_with(|empty| {
                let mut empty = empty.borrow_mut();
                if empty.len() < SPARE {
                    empty.push(shell);
                }
            });
        }
    }
}
