//! The forms that a subscriber may have.

use std::sync::Arc;

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

use crate::support::{Log, in_time, manager_of};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "parameters.happened")]
pub(crate) struct Happened {
    pub(crate) r#type: String,
}

mod private {
    use super::{Log, State, subscribe};

    #[subscribe]
    async fn in_a_private_module(_: &super::Happened, log: State<Log>) {
        log.add("in a private module");
    }
}

/// Documented, visible, with attributes of its own.
#[subscribe]
#[allow(clippy::needless_pass_by_value, reason = "the form is what is tested")]
pub(crate) async fn with_destructured_event(
    Happened { r#type }: &Happened,
    State(log): State<Log>,
) {
    log.add(format!("destructured {type}"));
}

#[subscribe]
async fn r#move(
    mut event: Happened,
    log: State<Log>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    event.r#type.push('!');
    log.add(format!("raw name {}", event.r#type));
    Ok(())
}

#[subscribe]
async fn with_all_parameters(
    event: Arc<Happened>,
    context: Context,
    bus: EventBus,
    trace: TraceId,
    State(log): State<Log>,
) -> Result<(), String> {
    assert_eq!(context.trace().trace_id(), trace);
    log.add(format!("all {} {}", event.r#type, bus.name()));
    Ok(())
}

#[subscribe]
#[cfg(any())]
async fn compiled_out(_: &DoesNotExist) {}

#[tokio::test]
async fn all_forms_of_subscribers_are_called() {
    let (builder, log) = manager_of(module_path!());
    let events = builder.start().await.unwrap();
    let bus = events.default_bus();
    bus.publish(Happened { r#type: "x".into() }).await.unwrap();
    in_time(bus.settled()).await;
    assert_eq!(
        log.sorted(),
        ["all x default", "destructured x", "in a private module", "raw name x!"]
    );
    let ids: Vec<_> = events.catalogue().subscribers.iter().map(|s| s.id).collect();
    assert_eq!(
        ids,
        [
            concat!(module_path!(), "::move"),
            concat!(module_path!(), "::private::in_a_private_module"),
            concat!(module_path!(), "::with_all_parameters"),
            concat!(module_path!(), "::with_destructured_event"),
        ]
    );
}
