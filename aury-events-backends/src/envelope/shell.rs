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
    static EMPTY: RefCell<Vec<Arc<Contents>>> = const { RefCell::new(Vec::new()) };
}

struct Contents {
    metadata: Metadata,
    /// `None` in an empty shell.
    payload: Option<Payload>,
}

/// A shared place for the contents of an envelope.
#[derive(Clone)]
pub(super) struct Shell {
    /// `None` only while it is dropped.
    contents: Option<Arc<Contents>>,
}

impl Shell {
    /// A shell for a payload, whose metadata `describe` sets, all of it.
    #[inline]
    pub(super) fn filled(payload: Payload, describe: impl FnOnce(&mut Metadata)) -> Self {
        let spare = EMPTY.try_with(|empty| empty.borrow_mut().pop()).ok().flatten();
        let mut shell = spare.unwrap_or_else(Self::blank);
        let contents = Arc::get_mut(&mut shell).expect("nobody else knows an empty shell");
        describe(&mut contents.metadata);
        contents.payload = Some(payload);
        Self { contents: Some(shell) }
    }

    #[cold]
    fn blank() -> Arc<Contents> {
        Arc::new(Contents { metadata: Metadata::blank(), payload: None })
    }

    #[inline]
    fn contents(&self) -> &Contents {
        self.contents.as_deref().expect("it is taken by drop alone")
    }

    #[inline]
    pub(super) fn metadata(&self) -> &Metadata {
        &self.contents().metadata
    }

    #[inline]
    pub(super) fn payload(&self) -> &Payload {
        self.contents().payload.as_ref().expect("a shell is full until its last owner drops it")
    }
}

impl Drop for Shell {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut shell) = self.contents.take()
            && let Some(contents) = Arc::get_mut(&mut shell)
        {
            // The event is dropped before the shell is put away: dropping it may drop further envelopes.
            contents.payload = None;
            contents.metadata.release();
            put_away(shell);
        }
    }
}

#[inline]
fn put_away(shell: Arc<Contents>) {
    // A thread that is ending has no use for it any more.
    let _ = EMPTY.try_with(|empty| {
        let mut empty = empty.borrow_mut();
        if empty.len() < SPARE {
            empty.push(shell);
        }
    });
}
