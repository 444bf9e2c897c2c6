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

mod own {
    //! Parameters of the application's own.

    use std::time::Duration;

    use aury_events::{BoxError, OptionalFromContext, prelude::*};
    use serde::{Deserialize, Serialize};

    use crate::support::{Log, in_time, manager_of};

    #[derive(Serialize, Deserialize, Event)]
    #[event(name = "parameters.own.asked")]
    struct Asked;

    #[derive(Clone)]
    struct Database(&'static str);

    /// What nobody gives.
    #[derive(Clone)]
    struct Absent;

    struct Tenant(String);

    impl FromContext for Tenant {
        type Parts = (Context, State<Database>);

        async fn from_context((context, State(database)): Self::Parts) -> Result<Self, BoxError> {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let name = context.header("tenant").ok_or("no header `tenant`")?;
            Ok(Self(format!("{name}@{}", database.0)))
        }
    }

    /// What is made of what is made of others.
    struct Account(String);

    impl FromContext for Account {
        type Parts = Tenant;

        async fn from_context(Tenant(tenant): Tenant) -> Result<Self, BoxError> {
            Ok(Self(format!("account of {tenant}")))
        }
    }

    impl OptionalFromContext for Account {
        type Parts = Context;

        async fn from_context(context: Context) -> Result<Option<Self>, BoxError> {
            match context.header("tenant") {
                Some("") => Err("an empty tenant".into()),
                tenant => Ok(tenant.map(|tenant| Self(tenant.to_owned()))),
            }
        }
    }

    #[subscribe(name = "parameters.own.composed")]
    async fn composed(_: &Asked, Account(account): Account, State(log): State<Log>) {
        log.add(account);
    }

    #[subscribe(name = "parameters.own.optional")]
    async fn optional(
        _: &Asked,
        account: Option<Account>,
        absent: Option<State<Absent>>,
        (State(log), given): (State<Log>, Option<State<Database>>),
    ) {
        let account = account.map(|account| account.0);
        log.add(format!("{account:?} {} {}", absent.is_some(), given.is_some()));
    }

    async fn ask(subscriber: &str, tenants: &[Option<&str>]) -> (Vec<String>, Vec<String>) {
        let (builder, log) = manager_of(module_path!());
        let builder = builder.subscribers(format!("parameters.own.{subscriber}"));
        let bus = builder.state(Database("db")).start().await.unwrap().default_bus();
        for tenant in tenants {
            let asked = bus.publish(Asked);
            match tenant {
                Some(tenant) => asked.header("tenant", *tenant).await.unwrap(),
                None => asked.await.unwrap(),
            };
        }
        in_time(bus.settled()).await;
        let letters = bus.dead_letters().list().await.unwrap();
        (log.entries(), letters.into_iter().map(|letter| letter.reason.to_string()).collect())
    }

    #[tokio::test]
    async fn what_is_made_of_others_is_made_and_fails_as_they_do() {
        let (entries, reasons) = ask("composed", &[Some("acme"), None]).await;
        assert_eq!(entries, ["account of acme@db"]);
        assert_eq!(reasons, ["the handler failed: no header `tenant`"]);
    }

    #[tokio::test]
    async fn what_is_absent_is_none_and_an_error_stays_one() {
        let (entries, reasons) = ask("optional", &[Some("acme"), None, Some("")]).await;
        assert_eq!(entries, ["Some(\"acme\") false true", "None false true"]);
        assert_eq!(reasons, ["the handler failed: an empty tenant"]);
    }

    #[tokio::test]
    async fn what_the_parts_need_is_missed_at_start_up() {
        let (builder, _) = manager_of(module_path!());
        let error = builder.subscribers("parameters.own.composed").start().await.unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("`parameters.own.composed`") && error.contains("Database>`"),
            "{error}"
        );
    }
}
