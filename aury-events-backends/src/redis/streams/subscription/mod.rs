//! One subscription: its parts, and their life together.

use std::sync::Arc;

mod broadcast;
mod interruptions;
mod keeper;
mod reader;
mod settler;

pub(crate) use self::{broadcast::Broadcast, keeper::Keeper, reader::Reader, settler::Settler};
use super::{
    inbox::{Inbox, Intake},
    server::Failure,
};
use crate::envelope::{EventName, Topic};

/// A subscription in this process.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) settler: Settler,
    pub(crate) source: Source,
}

/// Where its deliveries come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A group: each event goes to one of the processes of a service.
    Group { reader: Reader, keeper: Keeper },
    /// The streams themselves: each event goes to every process.
    Broadcast(Broadcast),
}

impl Subscription {
    /// Prepares the server. What is published when this is done reaches the subscriber.
    pub(crate) async fn begin(&self) -> Result<(), Failure> {
        match &self.source {
            Source::Group { keeper, .. } => {
                // Alive before it holds anything.
                keeper.give_sign_of_life().await?;
                keeper.group.found(&keeper.shared.server, &keeper.shared.keys).await
            }
            Source::Broadcast(broadcast) => broadcast.begin().await,
        }
    }

    /// Runs until the inbox is finished, and leaves the server in order.
    pub(crate) async fn run(self: Arc<Self>) {
        let retired = match &self.source {
            Source::Group { reader, keeper } => {
                let working = async { tokio::join!(reader.run(), self.settler.run()) };
                tokio::select! {
                    _ = working => {}
                    never = keeper.run(reader) => match never {},
                    never = keeper.clear_suspects() => match never {},
                }
                keeper.retire().await
            }
            Source::Broadcast(broadcast) => {
                let working = async { tokio::join!(broadcast.run(), self.settler.run()) };
                tokio::select! {
                    _ = working => {}
                    never = broadcast.keep_known() => match never {},
                }
                broadcast.retire().await
            }
        };
        if let Err(failure) = retired {
            // Others find out by the missing sign of life.
            tracing::debug!(subscriber = &*self.inbox.subscriber, error = %failure, "left unsaid");
        }
        self.inbox.advance(Intake::Over);
    }

    /// Takes note of a stream that has appeared.
    pub(crate) async fn discover(&self, event: &EventName) -> Result<(), Failure> {
        match &self.source {
            Source::Group { keeper, .. } => {
                keeper.group.discover(&keeper.shared.server, &keeper.shared.keys, event).await
            }
            Source::Broadcast(broadcast) => {
                broadcast.discover(event);
                Ok(())
            }
        }
    }

    pub(crate) fn is_of_pattern(&self) -> bool {
        let topic = match &self.source {
            Source::Group { keeper, .. } => &keeper.group.topic,
            Source::Broadcast(broadcast) => &broadcast.topic,
        };
        matches!(topic, Topic::Pattern(_))
    }
}
