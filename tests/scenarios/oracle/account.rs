//! That every event came to one end.

use std::collections::HashMap;

use aury_events::{DeadLetter, Event};

use super::{
    Happened, Published,
    spreading::{Fate, Followed},
    world::{Inner, SUBSCRIBERS, World},
};

/// What is known after a shutdown.
pub(super) struct Account<'a> {
    pub(super) world: &'a World,
    /// What the shutdown left, by subscriber.
    pub(super) left: &'a HashMap<String, u64>,
    pub(super) letters: &'a [DeadLetter],
}

/// How the deliveries of one event to one subscriber ended.
#[derive(Debug)]
struct Ends {
    handled: u32,
    discarded: u32,
    dead: u32,
}

impl Ends {
    fn all(&self) -> u32 {
        self.handled + self.discarded + self.dead
    }
}

impl Account<'_> {
    pub(super) fn settle(&self, published: &[Published]) {
        let mut copies: HashMap<u32, u32> = HashMap::new();
        let mut by_key: HashMap<u64, Vec<u32>> = HashMap::new();
        for Published { key, number, .. } in published {
            *copies.entry(*number).or_default() += 1;
            by_key.entry(*key).or_default().push(*number);
        }
        self.world.with(|inner| {
            for subscriber in SUBSCRIBERS {
                self.settle_subscriber(inner, subscriber, &copies);
            }
            self.settle_subscriber(inner, "spreads", &copies);
            self.settle_followed(inner);
            for (key, begun) in &inner.begun {
                let expected = &by_key[key];
                let is_complete = self.left.is_empty();
                assert!(!is_complete || begun.len() == expected.len(), "key {key}");
                assert_eq!(begun[..], expected[..begun.len()], "the order of key {key}");
            }
        });
    }

    fn settle_subscriber(
        &self,
        inner: &Inner,
        subscriber: &'static str,
        copies: &HashMap<u32, u32>,
    ) {
        let mut open = 0;
        for (&number, &copies) in copies {
            let ends = self.ends(inner, subscriber, number, |event: &Happened| event.number);
            assert!(ends.all() <= copies, "{number} at {subscriber}: {copies} copies, {ends:?}");
            if subscriber == "once" {
                assert!(ends.handled <= 1, "{number} at {subscriber}: {ends:?}");
                // The copies of what was handled are skipped.
                if ends.handled == 1 {
                    continue;
                }
            }
            open += u64::from(copies - ends.all());
        }
        let (open, left) = (open + unfinished(inner, subscriber), self.left_of(subscriber));
        let late = late(inner, subscriber);
        let account =
            format!("{subscriber}: {open} events without an end, {late} late, {left} left");
        assert!(open <= left && (subscriber == "once" || left <= open + late), "{account}");
    }

    /// What handlers have published.
    fn settle_followed(&self, inner: &Inner) {
        let (mut open, mut unknown) = (0, 0);
        for (&number, &fate) in &inner.spreading.fates {
            let ends = self.ends(inner, "follows", number, |event: &Followed| event.number);
            let account = format!("{number} is {fate:?}: {ends:?}");
            match fate {
                Fate::Accepted => {
                    assert!(ends.all() <= 1, "{account}");
                    open += u64::from(1 - ends.all());
                }
                Fate::UnderWay => {
                    assert!(ends.all() <= 1, "{account}");
                    unknown += u64::from(1 - ends.all());
                }
                Fate::Refused | Fate::StrayRefused => assert_eq!(ends.all(), 0, "{account}"),
            }
            let is_complete = self.left.is_empty();
            assert!(
                !is_complete || matches!(fate, Fate::Accepted | Fate::StrayRefused),
                "everything was handled, and yet {account}"
            );
        }
        let (open, left) = (open + unfinished(inner, "follows"), self.left_of("follows"));
        assert!(
            (open..=open + unknown + late(inner, "follows")).contains(&left),
            "follows: {open} events without an end, {unknown} unknown, {left} left"
        );
        assert_eq!(inner.spreading.wrong, [""; 0]);
    }

    fn ends<E: Event + serde::de::DeserializeOwned>(
        &self,
        inner: &Inner,
        subscriber: &'static str,
        number: u32,
        number_of: impl Fn(&E) -> u32,
    ) -> Ends {
        let of = |counts: &HashMap<_, u32>| counts.get(&(subscriber, number)).copied().unwrap_or(0);
        let ids = self.letters.iter().filter(|letter| ends_with(&letter.subscriber, subscriber));
        let numbers = ids.map(|letter| number_of(&letter.envelope.payload().decode().unwrap()));
        Ends {
            handled: of(&inner.handled),
            discarded: of(&inner.discarded),
            dead: numbers.filter(|it| *it == number).count() as u32,
        }
    }

    fn left_of(&self, subscriber: &str) -> u64 {
        self.left.iter().filter(|(id, _)| ends_with(id, subscriber)).map(|(_, left)| left).sum()
    }
}

fn ends_with(id: &str, subscriber: &str) -> bool {
    id.rsplit("::").next() == Some(subscriber)
}

/// Those that ended in the instant in which the limit of the shutdown passed, after it had counted them.
fn late(inner: &Inner, subscriber: &str) -> u64 {
    inner.late.get(subscriber).copied().unwrap_or(0)
}

fn unfinished(inner: &Inner, subscriber: &str) -> u64 {
    inner.spreading.unfinished.get(subscriber).copied().unwrap_or(0)
}
