//! Events and retries that wait on the broker.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aury_events::{PublishError, Unroutable, prelude::*};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use crate::{
    brokers::{Amqp, RabbitServer},
    support::{Log, Place, SOON, eventually, until},
};

/// How late what has waited may be.
const LATE: Duration = Duration::from_secs(2);

/// How much later it may be in a test, on a machine that does other things, too.
const BUSY: Duration = Duration::from_secs(10);

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "delays.unheard")]
struct Unheard {
    number: u32,
}

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "delays.heard")]
struct Heard {
    number: u32,
    /// When it is due, in microseconds since the start of 1970.
    due: u64,
}

fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

fn heard(number: u32, delay: Duration) -> Heard {
    Heard { number, due: micros() + delay.as_micros() as u64 }
}

/// Has a bus publish an event after a delay. It is waiting when this is done.
async fn delayed<E: Event>(bus: &EventBus, event: E, delay: Duration) -> Result<(), PublishError> {
    bus.publish(event).delay(delay).await.map(drop)
}

/// How much later than due events came, in microseconds.
#[derive(Clone, Default)]
struct Lateness(Arc<Mutex<Vec<(u32, i64)>>>);

impl Lateness {
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Checks that all events came once, none of them early, and gives the greatest lateness.
    fn check(&self, count: u32) -> Duration {
        let mut seen = self.0.lock().unwrap().clone();
        seen.sort_unstable();
        let numbers = seen.iter().map(|(number, _)| *number);
        assert!(numbers.eq(0..count), "each of them once");
        let earliest = seen.iter().map(|(_, late)| *late).min().unwrap();
        assert!(earliest >= 0, "{earliest} microseconds");
        Duration::from_micros(seen.iter().map(|(_, late)| *late).max().unwrap() as u64)
    }
}

#[subscribe(name = "delays.heard", concurrency = 16)]
async fn heard_at(event: &Heard, State(lateness): State<Lateness>) {
    let late = micros() as i64 - event.due as i64;
    lateness.0.lock().unwrap().push((event.number, late));
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "delays.job")]
struct Job {
    number: u32,
}

#[subscribe(name = "delays.job", concurrency = 64, retry(attempts = 2, delay = "3s"))]
async fn job(job: &Job, context: Context, State(log): State<Log>) -> Result<(), &'static str> {
    log.add(format!("{} attempt {}", job.number, context.attempt()));
    if context.attempt() < 2 { Err("not yet") } else { Ok(()) }
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "delays.other")]
struct OtherJob {
    number: u32,
}

#[subscribe(name = "delays.other", retry(attempts = 2, delay = "3s"))]
async fn other(
    job: &OtherJob,
    context: Context,
    State(log): State<Log>,
) -> Result<(), &'static str> {
    log.add(format!("other {} attempt {}", job.number, context.attempt()));
    if context.attempt() < 2 { Err("not yet") } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn an_event_without_a_route_does_not_hold_up_the_waiting_of_others() {
    let place = Place::at(RabbitServer::shared().url());
    let lateness = Lateness::default();
    let events = place.process("delays.heard").state(lateness.clone()).start().await.unwrap();
    let bus = events.default_bus();
    let delay = Duration::from_secs(2);
    for number in 0..40 {
        delayed(&bus, Unheard { number }, delay).await.unwrap();
    }
    for number in 0..5 {
        delayed(&bus, heard(number, delay), delay).await.unwrap();
    }
    until("all that have a route", delay + LATE + BUSY, || lateness.len() >= 5).await;
    println!("late by at most {:?}", lateness.check(5));
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_delayed_event_without_a_route_ends_as_its_publisher_has_set() {
    let place = Place::at(RabbitServer::shared().url());
    // Another process forwards it, which has not set that.
    let others = place.process("none").start().await.unwrap();
    let strict = place.config().unroutable(Unroutable::Error);
    let events = place.process_as("none", strict).start().await.unwrap();
    let delay = Duration::from_millis(400);
    // The one that may be dropped is due first.
    delayed(&others.default_bus(), Unheard { number: 3 }, delay).await.unwrap();
    for number in 0..3 {
        delayed(&events.default_bus(), Unheard { number }, delay).await.unwrap();
    }
    events.shutdown().await.unwrap();
    let amqp = Amqp::connect(&place.url).await;
    eventually("those that may not be dropped, and no other", SOON, async || {
        amqp.count(&place.stranded()).await == 3 && amqp.count(&place.waited()).await == 0
    })
    .await;
    others.shutdown().await.unwrap();
    assert_eq!(amqp.count(&place.stranded()).await, 3);
    let stranded = amqp.get(&place.stranded()).await.unwrap();
    assert_eq!(stranded.properties.kind().as_ref().unwrap().as_str(), "delays.unheard");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn retries_whose_queue_is_gone_are_dead_letters_and_hold_up_nobody() {
    let place = Place::at(RabbitServer::shared().url());
    let (log, amqp) = (Log::default(), Amqp::connect(&place.url).await);
    let doomed = place.process("delays.job").state(log.clone()).start().await.unwrap();
    for number in 0..40 {
        doomed.default_bus().publish(Job { number }).await.unwrap();
    }
    log.reaches(40).await;
    doomed.default_bus().settled().await;
    doomed.shutdown().await.unwrap();
    amqp.delete(&place.queue("delays.job")).await;

    let events = place.process("delays.other").state(log.clone()).start().await.unwrap();
    for number in 0..5 {
        events.default_bus().publish(OtherJob { number }).await.unwrap();
    }
    log.reaches(40 + 10).await;
    let dead = place.dead("delays.job");
    eventually("the letters", SOON, async || amqp.count(&dead).await == 40).await;
    let letters = events.default_bus().dead_letters().of("delays.job").list().await.unwrap();
    assert_eq!(letters.len(), 40);
    assert!(letters[0].reason.contains("gone"), "{:?}", letters[0]);
    assert_eq!(letters[0].attempts, 1);
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn delayed_events_are_never_early_and_hardly_late_at_500_a_second() {
    const COUNT: u32 = 3_000;
    let place = Place::at(RabbitServer::shared().url());
    let lateness = Lateness::default();
    let events = place.process("delays.heard").state(lateness.clone()).start().await.unwrap();
    let bus = events.default_bus();
    // 500 are due in each second, after delays that fit no level.
    let sent = stream::iter(0..COUNT).map(|number| {
        let delay = Duration::from_micros(
            1_137_000 + u64::from(number.wrapping_mul(7_919) % COUNT) * 2_000,
        );
        let event = heard(number, delay);
        delayed(&bus, event, delay)
    });
    sent.buffer_unordered(256).try_collect::<()>().await.unwrap();
    until("all events", Duration::from_secs(10) + LATE + BUSY, || lateness.len() >= COUNT as usize)
        .await;
    let late = lateness.check(COUNT);
    println!("late by at most {late:?}");
    assert!(late < LATE + BUSY, "{late:?}");
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn any_delays_up_to_a_year_take_a_bounded_number_of_queues_without_a_lease() {
    let server = RabbitServer::shared();
    let place = Place::at(server.url());
    let events = place.process("none").start().await.unwrap();
    let bus = events.default_bus();
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let sent = stream::iter(0..3_000_u32).map(|number| {
        let factor = f64::from(number + 1) / 3_000.0;
        let delay = Duration::from_secs(5) + year.mul_f64(factor.powi(6));
        delayed(&bus, Unheard { number }, delay.min(year))
    });
    sent.buffer_unordered(256).try_collect::<()>().await.unwrap();
    let too_long = delayed(&bus, Unheard { number: 0 }, year * 2).await.unwrap_err();
    println!("{too_long}");
    let listed = block_in_place(|| server.ctl(&["list_queues", "name", "messages", "arguments"]));
    let queues: Vec<_> = listed.lines().filter(|it| it.starts_with(&*place.name)).collect();
    assert!((10..60).contains(&queues.len()), "{queues:#?}");
    assert!(queues.iter().all(|it| !it.contains("x-expires")), "{queues:#?}");
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_killed_broker_keeps_what_waits_and_a_process_forwards_what_came_due_meanwhile() {
    const COUNT: u32 = 60;
    let mut server = block_in_place(RabbitServer::lease);
    let place = Place::at(server.url());
    let lateness = Lateness::default();
    let start = || place.process("delays.heard").state(lateness.clone()).start();
    let events = start().await.unwrap();
    for number in 0..COUNT {
        let delay = Duration::from_millis(8_000 + u64::from(number) * 200);
        delayed(&events.default_bus(), heard(number, delay), delay).await.unwrap();
    }
    events.shutdown().await.unwrap();
    block_in_place(|| {
        server.kill();
        server.start_again();
    });
    let events = start().await.unwrap();
    // A quorum queue that hands on what has waited takes its time after a restart, up to minutes.
    until("all events", SOON * 8, || lateness.len() >= COUNT as usize).await;
    println!("late by at most {:?}", lateness.check(COUNT));
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn what_others_put_among_the_waiting_is_set_aside_and_the_rest_goes_on() {
    static FORGED: AtomicU32 = AtomicU32::new(0);
    let place = Place::at(RabbitServer::shared().url());
    let lateness = Lateness::default();
    let events = place.process("delays.heard").state(lateness.clone()).start().await.unwrap();
    let amqp = Amqp::connect(&place.url).await;
    let waited = place.waited();
    eventually("the queue", SOON, async || {
        let listed = block_in_place(|| RabbitServer::shared().ctl(&["list_queues", "name"]));
        listed.lines().any(|it| it == waited)
    })
    .await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let forge = async |headers: Vec<(&str, AMQPValue)>| {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(name.into(), value);
        }
        let properties = BasicProperties::default().with_headers(table);
        amqp.publish_with("", &waited, b"{}", properties).await;
        FORGED.fetch_add(1, SeqCst);
    };
    let due = AMQPValue::LongLongInt;
    amqp.publish("", &waited, b"no headers at all").await;
    forge(vec![("aury-due", due(0))]).await;
    forge(vec![("aury-due", due(-1)), ("aury-exchange", text("")), ("aury-key", text("x"))]).await;
    forge(vec![
        ("aury-due", due(i64::MAX)),
        ("aury-exchange", text(&place.name)),
        ("aury-key", text("x")),
    ])
    .await;
    // Nothing is sent to where it does not belong.
    forge(vec![("aury-due", due(0)), ("aury-exchange", text("")), ("aury-key", text(&waited))])
        .await;
    forge(vec![
        ("aury-due", due(0)),
        ("aury-exchange", text("amq.topic")),
        ("aury-key", text("x")),
    ])
    .await;
    forge(vec![("aury-due", text("now")), ("aury-exchange", text("")), ("aury-key", text("x"))])
        .await;
    let delay = Duration::from_millis(600);
    for number in 0..5 {
        delayed(&events.default_bus(), heard(number, delay), delay).await.unwrap();
    }
    until("the rest", SOON, || lateness.len() >= 5).await;
    lateness.check(5);
    let forged = FORGED.load(SeqCst) + 1;
    eventually("what was forged is set aside", SOON, async || {
        amqp.count(&place.stranded()).await == forged
    })
    .await;
    events.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_process_that_is_gone_while_it_forwards_loses_nothing() {
    const COUNT: u32 = 600;
    let place = Place::at(RabbitServer::shared().url());
    let lateness = Lateness::default();
    let events = place.process("delays.heard").state(lateness.clone()).start().await.unwrap();
    let doomed = [0, 1, 2].map(|_| place.process("none").start());
    let doomed: Vec<_> = stream::iter(doomed).then(|it| it).try_collect().await.unwrap();
    let bus = events.default_bus();
    let sent = stream::iter(0..COUNT).map(|number| {
        let delay = Duration::from_millis(1_500 + u64::from(number));
        delayed(&bus, heard(number, delay), delay)
    });
    sent.buffer_unordered(256).try_collect::<()>().await.unwrap();
    for (index, process) in doomed.into_iter().enumerate() {
        until("some are due", SOON, || lateness.len() > 100 * (index + 1)).await;
        // Without a shutdown.
        drop(process);
    }
    let distinct = || {
        let seen = lateness.0.lock().unwrap();
        seen.iter().map(|(number, _)| *number).collect::<std::collections::HashSet<_>>().len()
    };
    until("all events", SOON, || distinct() == COUNT as usize).await;
    println!("{} for {COUNT}", lateness.len());
    events.shutdown().await.unwrap();
}
