//! What a subscription still does, on its way to its end.

use tokio::sync::watch;

/// What a subscription still does. It only ever goes on to a later stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Intake {
    /// It takes deliveries in, and hands them out.
    Open,
    /// Nothing more is taken in; what is here is handed out.
    Draining,
    /// The same, and the stream of deliveries ends with what is here.
    Cancelled,
    /// Nobody will take what waits here; what handlers hold is still settled.
    Abandoned,
    /// Nothing is handed out; what has been settled by now is told to the server.
    Closed,
    /// Nothing is told to the server any more.
    Over,
}

/// The stage that a subscription has reached, for tasks that wait for a later one.
#[derive(Debug)]
pub struct Stages(watch::Sender<Intake>);

impl Stages {
    /// The stage that it has reached.
    pub fn current(&self) -> Intake {
        *self.0.borrow()
    }

    /// Goes on to a stage, unless it is there or past it; gives whether it has gone on.
    pub fn advance(&self, to: Intake) -> bool {
        self.0.send_if_modified(|current| {
            let goes_on = *current < to;
            *current = to.max(*current);
            goes_on
        })
    }

    /// Waits until it has come that far. Cancel safe.
    pub async fn reached(&self, stage: Intake) {
        // The sender is ours, so that waiting does not fail.
        let _ = self.0.subscribe().wait_for(|current| *current >= stage).await;
    }

    /// Waits until it is past that stage. Cancel safe.
    pub async fn beyond(&self, stage: Intake) {
        let _ = self.0.subscribe().wait_for(|current| *current > stage).await;
    }
}

impl Default for Stages {
    /// Open.
    fn default() -> Self {
        Self(watch::Sender::new(Intake::Open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stages_only_ever_go_on() {
        let stages = Stages::default();
        stages.reached(Intake::Open).await;
        assert!(stages.advance(Intake::Abandoned));
        assert!(!stages.advance(Intake::Cancelled) && !stages.advance(Intake::Abandoned));
        assert_eq!(stages.current(), Intake::Abandoned);
        stages.beyond(Intake::Cancelled).await;
        let (_, ()) = tokio::join!(
            async { assert!(stages.advance(Intake::Closed)) },
            stages.beyond(Intake::Abandoned),
        );
    }
}
