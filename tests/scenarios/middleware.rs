//! What is done around every handler.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use aury_events::{
    BoxError, BoxFuture, DeadLetter, EventBusManagerBuilder,
    middleware::{Middleware, Next, from_fn},
    prelude::*,
};
use serde::{Deserialize, Serialize};

use crate::support::{Log, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "middleware.asked")]
struct Asked(String);

#[derive(Debug)]
struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

#[subscribe(
    retry(attempts = 2, delay = "100ms"),
    retry_if = |_| false,
    timeout = "1s",
    when = |event| event.0 != "unwanted"
)]
async fn answer(event: &Asked, State(log): State<Log>) -> Result<(), Refused> {
    log.add(format!("answers {}", event.0));
    match event.0.as_str() {
        "refused" => Err(Refused),
        "panics" => panic!("no answer"),
        "late" => std::future::pending().await,
        _ => Ok(()),
    }
}

/// Logs what comes in and what goes out.
struct Noting(&'static str, Log);

impl Middleware for Noting {
    fn handle<'a>(
        &'a self,
        context: &'a Context,
        next: Next,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let Self(name, log) = self;
            log.add(format!("{name} in, attempt {}", context.attempt()));
            let result = next.run().await;
            match &result {
                Ok(()) => log.add(format!("{name} out")),
                Err(error) if error.is::<Refused>() => log.add(format!("{name} out: Refused")),
                Err(error) => log.add(format!("{name} out: {error}")),
            }
            result
        })
    }
}

/// Starts this module's subscriber with middleware, has it handle one event, and gives the log and the dead letters.
async fn handled(
    text: &str,
    with: impl FnOnce(EventBusManagerBuilder, &Log) -> EventBusManagerBuilder,
) -> (Vec<String>, Vec<DeadLetter>) {
    let (builder, log) = manager_of(module_path!());
    let bus = with(builder, &log).start().await.unwrap().default_bus();
    bus.publish(Asked(text.to_owned())).await.unwrap();
    bus.settled().await;
    (log.entries(), bus.dead_letters().list().await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_first_middleware_is_the_outermost() {
    let (log, _) = handled("ok", |builder, log| {
        builder.middleware(Noting("outer", log.clone())).middleware(Noting("inner", log.clone()))
    })
    .await;
    let expected =
        ["outer in, attempt 1", "inner in, attempt 1", "answers ok", "inner out", "outer out"];
    assert_eq!(log, expected);
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_as_it_is_and_stays_what_retry_if_says_of_it() {
    let (log, letters) =
        handled("refused", |builder, log| builder.middleware(Noting("m", log.clone()))).await;
    assert_eq!(log, ["m in, attempt 1", "answers refused", "m out: Refused"]);
    assert_eq!(letters[0].reason, "the handler failed: refused");
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_the_end_of_the_time_come_as_errors_and_stay_what_they_are() {
    let noting =
        |builder: EventBusManagerBuilder, log: &Log| builder.middleware(Noting("m", log.clone()));
    for (text, reason) in [
        ("panics", "the handler panicked: no answer"),
        ("late", "the handler did not end within 1s"),
    ] {
        let (log, letters) = handled(text, noting).await;
        let attempt = |number: u32| {
            [
                format!("m in, attempt {number}"),
                format!("answers {text}"),
                format!("m out: {reason}"),
            ]
        };
        assert_eq!(log, [attempt(1), attempt(2)].concat(), "each attempt");
        assert_eq!(letters[0].reason, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_wanted_does_not_reach_it() {
    let (log, _) =
        handled("unwanted", |builder, log| builder.middleware(Noting("m", log.clone()))).await;
    assert!(log.is_empty());
}

/// Does something else in place of the handler, for some attempts.
struct Instead(&'static str, AtomicUsize);

impl Middleware for Instead {
    fn handle<'a>(&'a self, _: &'a Context, next: Next) -> BoxFuture<'a, Result<(), BoxError>> {
        if self.1.fetch_add(1, SeqCst) > 0 {
            return Box::pin(next.run());
        }
        match self.0 {
            "panics at once" => panic!("broken"),
            "panics" => Box::pin(async { panic!("broken") }),
            "fails" => Box::pin(async { Err("closed for today".into()) }),
            _ => Box::pin(async { Ok(()) }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_middleware_can_refuse_or_panic_and_that_is_a_failure_of_the_attempt() {
    for what in ["fails", "panics", "panics at once"] {
        let instead = Instead(what, AtomicUsize::new(0));
        let (log, letters) = handled("ok", |builder, _| builder.middleware(instead)).await;
        assert_eq!(log, ["answers ok"], "it is retried as the subscriber says");
        assert!(letters.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_middleware_can_have_an_event_done_with() {
    let instead = Instead("skips", AtomicUsize::new(0));
    let (log, letters) = handled("ok", |builder, _| builder.middleware(instead)).await;
    assert!(log.is_empty() && letters.is_empty());
}

/// Says more about an error.
struct Explaining;

impl Middleware for Explaining {
    fn handle<'a>(&'a self, _: &'a Context, next: Next) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async { Ok(next.run().await.map_err(|error| format!("after lunch: {error}"))?) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_or_closure_is_a_middleware() {
    async fn hastily(context: Context, next: Next) -> Result<(), BoxError> {
        assert_eq!(context.attempt(), 1);
        next.run().await
    }
    let (log, _) = handled("ok", |builder, log| {
        let log = log.clone();
        let noting = from_fn(move |context, next| {
            let log = log.clone();
            async move {
                log.add(format!("before {}", context.event_name()));
                next.run().await?;
                log.add("after");
                Ok(())
            }
        });
        builder
            .middleware(from_fn(hastily))
            .middleware(noting)
            .middleware(from_fn(async |_, next| next.run().await))
    })
    .await;
    assert_eq!(log, ["before middleware.asked", "answers ok", "after"]);
}

#[tokio::test(start_paused = true)]
async fn a_middleware_may_run_the_handler_in_a_task_that_it_spawns() {
    let (log, letters) = handled("panics", |builder, _| {
        builder.middleware(from_fn(async |context, next| context.spawn(next.run()).await?))
    })
    .await;
    assert_eq!(log, ["answers panics", "answers panics"], "its failure is one of the attempt");
    assert_eq!(letters[0].reason, "the handler panicked: no answer");
}

#[tokio::test(start_paused = true)]
async fn a_middleware_can_put_an_error_of_its_own_in_place() {
    let (_, letters) = handled("panics", |builder, _| builder.middleware(Explaining)).await;
    assert_eq!(
        letters[0].reason,
        "the handler failed: after lunch: the handler panicked: no answer"
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_around_closures_too() {
    let (builder, log) = manager_of("none");
    let builder = builder.subscribers("none").middleware(Noting("m", log.clone()));
    let bus = builder.start().await.unwrap().default_bus();
    bus.subscribe(|_: Arc<Asked>| async { tokio::time::sleep(Duration::from_secs(1)).await })
        .await
        .unwrap();
    bus.publish(Asked("ok".into())).await.unwrap();
    bus.settled().await;
    assert_eq!(log.entries(), ["m in, attempt 1", "m out"]);
}
