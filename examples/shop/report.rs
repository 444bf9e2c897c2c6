//! What every subscriber did, as a table.

use std::fmt::{self, Display};

use aury_events::SubscriberInfo;

use crate::values::grouped;

/// A table over the subscribers that run in this process.
pub(crate) struct Report<'a> {
    running: &'a [SubscriberInfo],
    rows: Vec<[String; 4]>,
}

/// Something that a subscriber did: what, and how much.
pub(crate) type Fact = (String, String);

pub(crate) fn fact(what: &str, value: impl Display) -> Fact {
    (what.to_owned(), value.to_string())
}

pub(crate) fn number(what: &str, number: u64) -> Fact {
    fact(what, grouped(number))
}

impl<'a> Report<'a> {
    pub(crate) fn new(running: &'a [SubscriberInfo]) -> Self {
        Self { running, rows: Vec::new() }
    }

    /// Adds what a subscriber did, if it runs here.
    pub(crate) fn subscriber(&mut self, id: &str, facts: impl IntoIterator<Item = Fact>) {
        let Some(subscriber) = self.running.iter().find(|subscriber| subscriber.id == id) else {
            return;
        };
        let mut who = [id.to_owned(), subscriber.topic.clone()];
        for (what, value) in facts {
            let [id, topic] = std::mem::take(&mut who);
            self.rows.push([id, topic, what, value]);
        }
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return writeln!(f, "no subscriber runs in this process");
        }
        let head = ["SUBSCRIBER", "LISTENS TO", "WHAT IT DID", ""].map(str::to_owned);
        let rows = || [&head].into_iter().chain(&self.rows);
        let width = |column: usize| rows().map(|row| row[column].len()).max().unwrap_or(0);
        let [ids, topics, facts, values] = [0, 1, 2, 3].map(width);
        for [id, topic, what, value] in rows() {
            let line = format!("{id:ids$}  {topic:topics$}  {what:facts$}  {value:>values$}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
