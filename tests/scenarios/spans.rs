//! Spans of what is published and handled, and the lines that handlers log in them.

use std::{sync::Arc, time::Duration};

use aury_events::{BoxError, EventId, prelude::*};
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

use crate::{
    seen_spans::{Lines, Spans, breaches, listen},
    support::{in_time, manager_of},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "spans.order_created")]
struct OrderCreated {
    fails: bool,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "spans.mail_sent")]
struct MailSent;

#[subscribe(retry(attempts = 2, delay = "1ms"))]
async fn send_mail(event: &OrderCreated, context: Context) -> Result<(), BoxError> {
    tracing::info!("sending");
    if event.fails {
        return Err("no server".into());
    }
    context.spawn(async { tracing::info!("in a task of its own") }).await?;
    context.publish(MailSent).await?;
    Ok(())
}

#[subscribe(when = |_| { tracing::info!("asked"); true })]
async fn conditional(_: &MailSent) {}

#[subscribe(batch(max = 2, wait = "10s"))]
async fn count(events: &[Arc<OrderCreated>]) {
    tracing::info!("{} at once", events.len());
}

#[tokio::test]
async fn every_line_of_a_handler_tells_event_subscriber_attempt_and_trace() {
    let lines = Lines::default();
    let _listening = listen(&lines.subscriber());
    let (builder, _) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    let failing = bus.publish(OrderCreated { fails: true }).await.unwrap();
    let working = bus.publish(OrderCreated { fails: false }).await.unwrap();
    in_time(bus.settled()).await;

    let is_said = |line: &str, id: &EventId, event: &str, subscriber: &str, attempt: u32| {
        // A trace that an event starts has the event's id.
        let trace = working.to_string().replace('-', "");
        line.contains(&format!("event={event} "))
            && line.contains(&format!("event_id={id} "))
            && line.contains(&format!("subscriber=\"{}::{subscriber}\" ", module_path!()))
            && line.contains(&format!("attempt={attempt} "))
            && (*id == failing || line.contains(&format!("trace_id={trace} ")))
    };
    let sending = lines.with("sending");
    let attempts = [(&failing, 1), (&working, 1), (&failing, 2)];
    assert_eq!(sending.len(), attempts.len(), "{sending:?}");
    for (id, attempt) in attempts {
        let of_it = |line: &String| is_said(line, id, OrderCreated::NAME, "send_mail", attempt);
        assert!(sending.iter().any(of_it), "{id} {attempt}: {sending:?}");
    }
    for line in lines.with("in a task of its own") {
        assert!(is_said(&line, &working, OrderCreated::NAME, "send_mail", 1), "{line}");
    }
    let asked = lines.with("asked");
    let trace = format!("trace_id={} ", working.to_string().replace('-', ""));
    assert!(asked[0].contains("::conditional\"") && asked[0].contains(&trace), "{asked:?}");
    assert_eq!(lines.with("2 at once").len(), 1);
}

#[tokio::test]
async fn spans_are_those_of_the_conventions() {
    let spans = Spans::default();
    let _listening = listen(&spans.subscriber(LevelFilter::TRACE));
    let (builder, _) = manager_of(module_path!());
    let manager = builder.start().await.unwrap();
    let bus = manager.default_bus();
    bus.publish(OrderCreated { fails: true }).await.unwrap();
    bus.publish_all([MailSent, MailSent]).await.unwrap();
    bus.publish(OrderCreated { fails: false }).delay(Duration::from_millis(1)).await.unwrap();
    in_time(bus.settled()).await;
    manager.shutdown().await.unwrap();
    bus.publish(MailSent).await.unwrap_err();

    for span in spans.all() {
        assert_eq!(breaches(&span), [""; 0], "{span:?}");
        assert!(span.is_closed, "{span:?}");
    }
    let published = spans.of("publish");
    let names: Vec<_> = published.iter().map(|span| span.field("otel.name")).collect();
    let (order, mail) = ("publish spans.order_created", "publish spans.mail_sent");
    assert_eq!(names, [order, mail, order, mail, mail]);
    assert_eq!(published[1].field("messaging.batch.message_count"), "2");
    assert_eq!(published[4].field("error.type"), "closed");

    let processed = spans.of("process");
    let of = |name: &str| -> Vec<_> {
        processed.iter().filter(|span| span.field("subscriber").ends_with(name)).collect()
    };
    let errors: Vec<_> = of("::send_mail").iter().map(|span| span.field("error.type")).collect();
    assert_eq!(errors, ["failed", "failed", ""]);
    let [batch] = of("::count")[..] else { panic!("{processed:?}") };
    assert_eq!(batch.field("messaging.batch.message_count"), "2");
    let span = of("::send_mail")[0];
    assert_eq!(span.field("otel.name"), "process spans.order_created");
    assert_eq!(span.field("messaging.system"), "memory");
    assert_eq!(span.field("messaging.consumer.group.name"), "tests");
    // What stays in this process goes over no network.
    assert!(spans.of("settle").is_empty());
}

#[tokio::test]
async fn no_span_is_made_that_a_filter_would_drop() {
    let spans = Spans::default();
    let _listening = listen(&spans.subscriber(LevelFilter::WARN));
    let (builder, _) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    bus.publish(MailSent).await.unwrap();
    in_time(bus.settled()).await;
    assert!(spans.all().is_empty());
}
