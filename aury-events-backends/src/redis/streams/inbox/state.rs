//! What is held, in which order it is handed out, and how much room there is.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::DeliveryCount;
use crate::{envelope::Envelope, kit::Backlog, redis::streams::server::EntryId};

/// How many entries are read at first, when nothing is known of their size.
const FIRST: usize = 8;

/// Where an entry stands: the number of its stream within the subscription, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) stream: usize,
    pub(crate) id: EntryId,
}

/// An entry as it comes from the server.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) place: Place,
    pub(crate) envelope: Envelope,
    /// The number of the attempt that its first delivery from this stream is.
    pub(crate) first_attempt: u32,
    pub(crate) count: DeliveryCount,
    /// Whether the process that it was delivered to before has died, maybe of it.
    pub(crate) is_suspect: bool,
    /// How many bytes it has.
    pub(crate) bytes: usize,
}

/// An entry that is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) place: Place,
    pub(super) first_attempt: u32,
    pub(super) deliveries: u32,
    pub(super) interruptions: u32,
    pub(super) is_suspect: bool,
    /// Whether the server has yet to be told how often it was delivered: nothing else is told of it before.
    pub(super) is_untold: bool,
    pub(super) bytes: usize,
    pub(super) phase: Phase,
}

/// What an entry waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// For a handler.
    Waiting,
    /// For its handler to end.
    Handled,
    /// For the server to take note of what has become of it.
    Settled,
    /// The same, and the server has refused it: it is tried again, less and less often.
    Refused,
    /// For its next attempt, in this process, since the server has refused to keep it until then.
    Parked,
}

/// An entry that waits for a handler.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) tag: u64,
    pub(super) envelope: Envelope,
    pub(super) attempt: u32,
}

/// The one suspect that may be with a handler.
#[derive(Debug, Default)]
pub(super) enum Suspect {
    /// None is.
    #[default]
    None,
    /// The server is to be told that its handler begins.
    Asked(Waiting),
    /// The server is being told.
    Asking(Waiting),
    /// The server knows: its handler can begin.
    Cleared(Waiting),
    /// It is with its handler.
    Out(u64),
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// What waits for a handler and is no suspect, and what waits for its time.
    pub(super) backlog: Backlog<Waiting>,
    pub(super) suspects: VecDeque<Waiting>,
    pub(super) suspect: Suspect,
    /// Whether the server does not answer for suspects now: others go on.
    pub(super) is_suspended: bool,
    pub(super) held: HashMap<u64, Held>,
    pub(super) places: HashSet<Place>,
    /// How many of those held take room: they are not settled, and do not wait for want of anything else.
    pub(super) unsettled: usize,
    /// How many bytes all have that are held.
    pub(super) bytes: usize,
    /// How large the entries are that come now; `None` before the first one.
    pub(super) typical_bytes: Option<usize>,
    pub(super) last_tag: u64,
    /// Suspects whose handlers were ended by the end of the subscription.
    pub(super) given_up: Vec<Place>,
    pub(super) is_live: bool,
    /// Why it is not.
    pub(super) problem: Option<Arc<str>>,
}

/// What is handed out next.
pub(super) enum Choice {
    Delivery(Waiting),
    /// The server is to be told first that a suspect begins.
    AskFor,
    Nothing,
}

impl Phase {
    fn takes_room(self) -> bool {
        matches!(self, Self::Waiting | Self::Handled)
    }

    /// Whether nothing more is to be waited for when the subscription ends: others find the entry where it is.
    pub(super) fn can_be_left(self) -> bool {
        matches!(self, Self::Refused | Self::Parked)
    }
}

impl State {
    pub(super) fn hold(&mut self, held: Held) -> u64 {
        self.last_tag += 1;
        self.places.insert(held.place);
        self.bytes += held.bytes;
        self.unsettled += usize::from(held.phase.takes_room());
        self.held.insert(self.last_tag, held);
        self.last_tag
    }

    /// Takes note of how large an entry is: a large one counts at once, and is forgotten gradually.
    pub(super) fn note_size(&mut self, bytes: usize) {
        let before = self.typical_bytes.unwrap_or(0);
        self.typical_bytes = Some(bytes.max(before - before / 8 + bytes / 8));
    }

    /// How many of so many entries fit beside those that are held, if they are as large as those that came last. One
    /// always does, unless there are as many bytes already.
    pub(super) fn fitting(&self, room: usize, bytes: usize) -> usize {
        match (bytes.saturating_sub(self.bytes), self.typical_bytes) {
            (0, _) => 0,
            (_, None) => room.min(FIRST),
            (left, Some(typical)) => room.min((left / typical.max(1)).max(1)),
        }
    }

    /// Lets go of an entry; gives whether it was held.
    pub(super) fn forget(&mut self, tag: u64) -> bool {
        let Some(held) = self.held.remove(&tag) else { return false };
        self.places.remove(&held.place);
        self.bytes -= held.bytes;
        self.unsettled -= usize::from(held.phase.takes_room());
        self.is_out_no_more(tag);
        true
    }

    pub(super) fn set_phase(&mut self, tag: u64, phase: Phase) {
        let Some(held) = self.held.get_mut(&tag) else { return };
        self.unsettled -= usize::from(held.phase.takes_room());
        self.unsettled += usize::from(phase.takes_room());
        held.phase = phase;
        if phase != Phase::Handled {
            self.is_out_no_more(tag);
        }
    }

    /// The place of an entry, if it is the suspect that is with its handler.
    pub(super) fn place_of_out(&self, tag: u64) -> Option<Place> {
        match self.suspect {
            Suspect::Out(out) if out == tag => self.held.get(&tag).map(|held| held.place),
            _ => None,
        }
    }

    fn is_out_no_more(&mut self, tag: u64) {
        if matches!(self.suspect, Suspect::Out(out) if out == tag) {
            self.suspect = Suspect::None;
        }
    }

    /// Adds what waits for a handler.
    pub(super) fn line_up(&mut self, waiting: Waiting, is_first: bool) {
        let is_suspect = self.held.get(&waiting.tag).is_some_and(|held| held.is_suspect);
        // Their bytes are counted as held.
        match (is_suspect, is_first) {
            (true, true) => self.suspects.push_front(waiting),
            (true, false) => self.suspects.push_back(waiting),
            (false, true) => self.backlog.put_back(waiting, 0),
            (false, false) => self.backlog.add(waiting, 0),
        }
    }

    /// What is to be handed out next: what was to come back by now goes before what is new, and a suspect before what
    /// is none, one at a time.
    pub(super) fn next_waiting(&mut self) -> Choice {
        while let Some(waiting) = self.backlog.pop_due() {
            self.set_phase(waiting.tag, Phase::Waiting);
            let is_suspect = self.held.get(&waiting.tag).is_some_and(|held| held.is_suspect);
            if !is_suspect {
                return self.hand_out(waiting);
            }
            self.suspects.push_front(waiting);
        }
        match std::mem::take(&mut self.suspect) {
            Suspect::Cleared(waiting) => {
                self.suspect = Suspect::Out(waiting.tag);
                return self.hand_out(waiting);
            }
            // What is none does not begin beside one of which the server is just being told.
            suspect @ (Suspect::Asked(_) | Suspect::Asking(_)) => {
                self.suspect = suspect;
                return Choice::Nothing;
            }
            Suspect::None if !self.is_suspended => {
                if let Some(waiting) = self.suspects.pop_front() {
                    self.suspect = Suspect::Asked(waiting);
                    return Choice::AskFor;
                }
            }
            suspect => self.suspect = suspect,
        }
        match self.backlog.pop_ready() {
            Some(waiting) => self.hand_out(waiting),
            None => Choice::Nothing,
        }
    }

    fn hand_out(&mut self, waiting: Waiting) -> Choice {
        self.set_phase(waiting.tag, Phase::Handled);
        Choice::Delivery(waiting)
    }

    /// Whether nothing waits for a handler but what has to wait.
    pub(super) fn is_idle(&self) -> bool {
        !self.backlog.has_ready() && self.suspects.is_empty()
    }

    /// Whether suspects wait, or one is about to be handed out.
    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty() || !matches!(self.suspect, Suspect::None | Suspect::Out(_))
    }

    /// What waits in this process for a time that may be far away.
    pub(super) fn leave_parked(&mut self) -> Vec<u64> {
        let held = &self.held;
        let is_parked =
            |it: &Waiting| held.get(&it.tag).is_some_and(|it| it.phase == Phase::Parked);
        self.backlog.take_delayed(is_parked).into_iter().map(|it| it.tag).collect()
    }

    /// All that nobody will be handed any more.
    pub(super) fn abandon(&mut self) -> Vec<u64> {
        let suspects = std::mem::take(&mut self.suspects);
        let waiting = self.backlog.take_all().into_iter().chain(suspects);
        let mut tags: Vec<_> = waiting.map(|it| it.tag).collect();
        match std::mem::take(&mut self.suspect) {
            Suspect::Asked(waiting) | Suspect::Cleared(waiting) => tags.push(waiting.tag),
            suspect => self.suspect = suspect,
        }
        tags
    }
}
