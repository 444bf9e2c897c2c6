//! Entries that a process held which has died, maybe of one of them.
//!
//! They are handed out one at a time, each after the server has been told that its handler begins. So when the process
//! dies again, the server knows which of them it was: the others were only read.

use std::time::SystemTime;

use super::{
    Inbox, Intake, Kept, Place, PutAway,
    state::{Phase, Suspect},
    wake,
};
use crate::{dead_letters::DeadLetter, reason::DeadLetterReason};

/// A suspect that a handler is ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) place: Place,
}

impl Inbox {
    /// Waits until a handler is ready for a suspect. For one task, which says then what the server has answered.
    pub(crate) async fn suspect_wanted(&self) -> Asked {
        loop {
            {
                let mut state = self.state();
                match std::mem::take(&mut state.suspect) {
                    Suspect::Asked(waiting) => match state.held.get(&waiting.tag).copied() {
                        // The count of its last attempt would overwrite that its handler begins again.
                        Some(held) if held.is_untold => state.suspect = Suspect::Asked(waiting),
                        Some(held) => {
                            state.suspect = Suspect::Asking(waiting);
                            return Asked { place: held.place };
                        }
                        None => {}
                    },
                    suspect => state.suspect = suspect,
                }
            }
            self.wanted.notified().await;
        }
    }

    /// The server knows that the handler begins.
    pub(crate) fn clear_suspect(&self) {
        let mut state = self.state();
        match std::mem::take(&mut state.suspect) {
            Suspect::Asking(waiting) if self.intake() >= Intake::Abandoned => {
                // It does not, after all.
                if let Some(held) = state.held.get(&waiting.tag).copied() {
                    state.given_up.push(held.place);
                }
                if state.forget(waiting.tag) {
                    self.tally.settle();
                }
            }
            Suspect::Asking(waiting) => state.suspect = Suspect::Cleared(waiting),
            suspect => state.suspect = suspect,
        }
        wake(state);
        self.to_tell.wake();
    }

    /// Too many processes have died over it: it becomes a dead letter.
    pub(crate) fn condemn_suspect(&self, times: u32) {
        let mut state = self.state();
        let waiting = match std::mem::take(&mut state.suspect) {
            Suspect::Asking(waiting) => waiting,
            suspect => return state.suspect = suspect,
        };
        state.set_phase(waiting.tag, Phase::Settled);
        wake(state);
        let reason = DeadLetterReason::Interrupted { times };
        let metadata = waiting.envelope.metadata();
        tracing::error!(
            subscriber = &*self.subscriber,
            event = %metadata.name(),
            event_id = %metadata.id(),
            "{reason}; the event is kept as a dead letter"
        );
        let letter = DeadLetter::recorded(
            waiting.envelope,
            self.subscriber.clone(),
            reason.to_string(),
            waiting.attempt,
            SystemTime::now(),
        );
        let kind = Kept::DeadLetter(Box::new(letter));
        self.to_put_away.add(PutAway::new(waiting.tag, kind));
    }

    /// Another process has it now.
    pub(crate) fn lose_suspect(&self) {
        let mut state = self.state();
        match std::mem::take(&mut state.suspect) {
            Suspect::Asking(waiting) => {
                if state.forget(waiting.tag) {
                    self.tally.settle();
                }
            }
            suspect => state.suspect = suspect,
        }
        wake(state);
        self.to_tell.wake();
    }

    /// The server has not answered: the others go on meanwhile.
    pub(crate) fn suspend_suspects(&self) {
        let mut state = self.state();
        state.is_suspended = true;
        match std::mem::take(&mut state.suspect) {
            Suspect::Asking(waiting) => state.suspects.push_front(waiting),
            suspect => state.suspect = suspect,
        }
        wake(state);
    }

    /// The server is asked again.
    pub(crate) fn resume_suspects(&self) {
        let mut state = self.state();
        state.is_suspended = false;
        wake(state);
    }

    /// Suspects whose handlers have begun and not ended by themselves.
    pub(crate) fn begun_suspects(&self) -> Vec<Place> {
        let state = self.state();
        let out = match state.suspect {
            Suspect::Out(tag) => state.place_of_out(tag),
            _ => None,
        };
        state.given_up.iter().copied().chain(out).collect()
    }
}
