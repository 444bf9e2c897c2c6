//! What takes a process of its own: the buses that belong to it, and its environment.

use crate::support::{Run, run};

#[tokio::test]
async fn a_process_has_one_manager_of_its_own_from_init_to_shutdown() {
    let run = run(env!("CARGO_BIN_EXE_lifecycle"), &[("EVENT_SERVICE", "process")]).await;
    let again = "the process's event buses have been initialised before; use `EventBusManager::builder()` and \
                 `start()` for further managers";
    let printed = format!(
        "publish before init: there is no bus `default` yet: call `aury_events::init_from_env().await` first\n\
         bus before init: there is no bus `domain` yet: call `aury_events::init_from_env().await` first\n\
         init again: {again}\n\
         init from code: {again}\n\
         unknown bus: there is no bus `domain`, only `default`\n\
         answered in /instance\n\
         answered in /process\n\
         publish after shutdown: the bus `default` is shutting down and takes no more events\n"
    );
    assert_eq!(run.stdout, printed);
    // Said once, though there are several starts.
    let silent = "aury-events: no subscriber of `tracing` is installed, so warnings, failing handlers and dead letters are \
                  not seen; install one before the buses start, such as `tracing_subscriber::fmt::init()`\n";
    assert_eq!((run.code, &*run.stderr), (Some(0), silent));
}

/// The shop's service, with a bus for the domain and these variables.
async fn shop(variables: &[(&str, &str)]) -> Run {
    let domain = [("EVENT_DOMAIN_BACKEND", "memory")];
    run(env!("CARGO_BIN_EXE_shop_service"), &[&domain, variables].concat()).await
}

#[tokio::test]
async fn the_environment_sets_up_buses_and_selects_subscribers() {
    let run = shop(&[("EVENT_SUBSCRIBERS", "handlers::stock::*, *::confirm")]).await;
    assert_eq!(
        run.stdout, "bus default\nmail::confirm\nstock::reserve\nbus domain\nstock::record\n",
        "{}",
        run.stderr
    );
    assert_eq!(run.code, Some(0));

    let run = shop(&[("EVENT_SUBSCRIBERS", "none")]).await;
    assert_eq!((&*run.stdout, run.code), ("bus default\nbus domain\n", Some(0)));
}

#[tokio::test]
async fn the_environment_bounds_chains_of_events() {
    for (hops, reminders) in [("0", 1), ("5", 6), ("", 65)] {
        let run = shop(&[("EVENT_SUBSCRIBERS", "*::remind"), ("EVENT_MAX_HOPS", hops)]).await;
        assert_eq!(run.stdout.matches("mail::remind").count(), reminders, "EVENT_MAX_HOPS={hops}");
        assert!(run.stderr.contains("event loop: `reminder.due`"), "{}", run.stderr);
    }
}

#[tokio::test]
async fn a_misspelt_variable_is_warned_of_with_the_nearest_that_exists() {
    let run = shop(&[("EVENT_DOMAIN_QUEUE_CAPACTY", "8"), ("EVENT_MAXHOPS", "8")]).await;
    for warning in [
        " WARN aury_events::manager::builder: `EVENT_DOMAIN_QUEUE_CAPACTY` sets nothing; did you mean `EVENT_DOMAIN_QUEUE_CAPACITY`?\n",
        " WARN aury_events::manager::builder: `EVENT_MAXHOPS` sets nothing; did you mean `EVENT_MAX_HOPS`?\n",
    ] {
        assert!(run.stderr.contains(warning), "{}", run.stderr);
    }
    assert_eq!(run.code, Some(0));
}

#[tokio::test]
async fn a_selection_that_matches_no_subscriber_is_warned_of() {
    let run = shop(&[("EVENT_SUBSCRIBERS", "handlers::stok::*")]).await;
    for warning in [
        " WARN aury_events::manager::startup: no subscriber has an id that matches glob=\"handlers::stok::*\"\n",
        " WARN aury_events::manager::startup: none of the subscribers is selected to run in this process linked=4\n",
    ] {
        assert!(run.stderr.contains(warning), "{}", run.stderr);
    }
}

#[tokio::test]
async fn a_bad_value_names_the_variable_the_value_and_what_is_valid_and_the_process_fails() {
    let run = shop(&[("EVENT_DOMAIN_FORMAT", "xml"), ("EVENT_MAX_HOPS", "-1")]).await;
    assert_eq!(
        run.stderr,
        "Error: the event buses cannot start, for 2 reasons:\n  \
         1. `EVENT_MAX_HOPS` is `-1`: expected a whole number from 0 to 65535\n  \
         2. `EVENT_DOMAIN_FORMAT` is `xml`: expected `cloudevents` or `aury`\n"
    );
    assert_eq!((run.code, &*run.stdout), (Some(1), ""));
}

#[tokio::test]
async fn a_subscriber_whose_bus_is_not_set_up_stops_the_process() {
    let run = run(env!("CARGO_BIN_EXE_shop_service"), &[]).await;
    assert!(run.stderr.contains("`EVENT_DOMAIN_URL` or `EVENT_DOMAIN_BACKEND`"), "{}", run.stderr);
    assert_eq!((run.code, &*run.stdout), (Some(1), ""));
}

/// The service logs all that there is to log. Where a URL is sound, nobody listens at its other end.
#[tokio::test]
async fn a_password_appears_nowhere() {
    for (variable, value) in [
        ("EVENT_URL", "redis://shop:hunter2@127.0.0.1:1"),
        ("EVENT_URL", "amqp://shop:hunter2@127.0.0.1:1"),
        ("EVENT_URL", "nats://shop:hunter2@127.0.0.1:1"),
        ("EVENT_URL", "redis://shop:hunter2@ca/che@"),
        ("EVENT_URL", "shop:hunter2@127.0.0.1:1"),
        ("EVENT_BACKEND", "redis://shop:hunter2@127.0.0.1:1"),
        ("EVENT_SERVICE", "redis://shop:hunter2@127.0.0.1:1"),
        ("EVENT_SUBSCRIBERS", "redis://shop:hunter2@127.0.0.1:1"),
        ("EVENT_ULR", "redis://shop:hunter2@127.0.0.1:1"),
    ] {
        let run = shop(&[(variable, value), ("EVENT_CONNECT_TIMEOUT", "100ms")]).await;
        let printed = run.stdout + &run.stderr;
        assert!(!printed.contains("hunter2"), "{variable}={value} prints:\n{printed}");
        assert!(!run.stderr.is_empty(), "{variable}={value} is accepted without a word");
    }
}

#[test]
fn a_runtime_that_has_ended_is_told_and_init_may_start_anew() {
    crate::runtimes::a_runtime_that_has_ended_is_told_and_init_may_start_anew("memory", "");
}
