//! Values that no broker can carry, and odd ones that every broker has to, on each backend.
//!
//! Each function is a test. It is given the configuration of a bus that nothing else uses.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use aury_events::prelude::*;
use aury_events_backends::error::WithCauses;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Amount {
    Exact { cents: i128 },
}

/// Lists within lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Nested(Vec<Nested>);

impl Nested {
    fn of(depth: usize) -> Self {
        (1..depth).fold(Self(vec![]), |inner, _| Self(vec![inner]))
    }
}

/// What is odd in an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Odd {
    Number(f64),
    Small(f32),
    Maybe(Option<f64>),
    Twice(Option<Option<u8>>),
    Unit(Option<()>),
    Numbers { list: Vec<f64> },
    Deep(Nested),
    Amount(Amount),
    Large(u64, i64, i128),
    Pairs(HashMap<(u8, u8), u8>),
    Counted(BTreeMap<u64, u8>),
    Text(String),
    Letter(char),
    Bytes(Vec<u8>),
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "values.odd")]
struct OddEvent {
    odd: Odd,
}

#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<Odd>>>);

#[subscribe(name = "values.receive")]
async fn receive(event: &OddEvent, State(received): State<Received>) {
    received.0.lock().unwrap().push(event.odd.clone());
}

async fn is_refused(bus: &EventBus, odd: Odd, parts: [&str; 2]) {
    let of = format!("{odd:?}");
    let error = bus.publish(OddEvent { odd }).await.expect_err(&of);
    let text = WithCauses(&error).to_string();
    for part in parts {
        assert!(text.contains(part), "{of}: {text}");
    }
}

/// What only a round trip tells: a bus with `EVENT_STRICT` makes one.
pub(crate) async fn a_strict_bus_proves_each_event(config: BusConfig) {
    let process = EventBusManager::builder().service("values").subscribers("none");
    let events = process.bus("default", config.strict(true)).start().await.unwrap();
    let bus = events.default_bus();
    for (odd, parts) in [
        (Odd::Amount(Amount::Exact { cents: i128::MAX }), ["values.odd", "i128 is not supported"]),
        (Odd::Amount(Amount::Exact { cents: 1 }), ["values.odd", "i128 is not supported"]),
    ] {
        is_refused(&bus, odd, parts).await;
    }
    bus.publish(OddEvent { odd: Odd::Number(0.1) }).await.unwrap();
    events.shutdown().await.unwrap();
}

/// On memory with `EVENT_STRICT`, and without it on brokers, with the same words.
pub(crate) async fn what_cannot_come_back_is_refused_and_what_can_arrives(config: BusConfig) {
    let received = Received::default();
    let process = EventBusManager::builder()
        .service("values")
        .bus("default", config)
        .subscribers("values.receive")
        .state(received.clone());
    let events = process.start().await.unwrap();
    let bus = events.default_bus();

    for (odd, parts) in [
        (Odd::Number(f64::NAN), ["values.odd", "`odd.Number` is NaN"]),
        (Odd::Small(f32::INFINITY), ["values.odd", "`odd.Small` is inf"]),
        (Odd::Maybe(Some(f64::NEG_INFINITY)), ["values.odd", "`odd.Maybe` is -inf"]),
        (Odd::Numbers { list: vec![0.5, f64::NAN] }, ["values.odd", "`odd.list[1]` is NaN"]),
        (Odd::Deep(Nested::of(200)), ["values.odd", "nested more than"]),
        (Odd::Pairs(HashMap::from([((1, 2), 3)])), ["values.odd", "key must be a string"]),
        (Odd::Twice(Some(None)), ["values.odd", "`odd.Twice` is a `Some` of nothing"]),
        (Odd::Unit(Some(())), ["values.odd", "`odd.Unit` is a `Some` of nothing"]),
    ] {
        is_refused(&bus, odd, parts).await;
    }

    let fine = [
        Odd::Number(0.1 + 0.2),
        Odd::Number(f64::MAX),
        Odd::Number(f64::MIN_POSITIVE / 2.0),
        Odd::Number(-0.0),
        Odd::Small(0.1),
        Odd::Maybe(None),
        Odd::Twice(None),
        Odd::Twice(Some(Some(0))),
        Odd::Unit(None),
        Odd::Deep(Nested::of(100)),
        Odd::Large(u64::MAX, i64::MIN, i128::MIN),
        Odd::Pairs(HashMap::new()),
        Odd::Counted(BTreeMap::from([(u64::MAX, 1)])),
        Odd::Text("\0\u{7f}\u{2028}\u{feff}\u{fffd}\u{1f980}\"\\/\r\n".into()),
        Odd::Text(String::new()),
        Odd::Text("null".into()),
        Odd::Letter('\u{10ffff}'),
        Odd::Bytes((0..=255).collect()),
        Odd::Nothing,
    ];
    for odd in fine.clone() {
        let of = format!("{odd:?}");
        bus.publish(OddEvent { odd }).await.unwrap_or_else(|error| panic!("{of}: {error}"));
    }
    let all = async {
        while received.0.lock().unwrap().len() < fine.len() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, all).await.unwrap_or_else(|_| panic!("{received:?}"));
    assert_eq!(*received.0.lock().unwrap(), fine);
    assert_eq!(bus.dead_letters().list().await.unwrap().len(), 0);
    events.shutdown().await.unwrap();
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

#[subscribe(name = "values.see", pattern = "values.foreign")]
async fn see(event: &AnyEvent, State(seen): State<Seen>) -> Result<(), aury_events::EncodeError> {
    let data = match event.binary() {
        Some(bytes) => format!("{bytes:?}"),
        None => event.json()?,
    };
    seen.0.lock().unwrap().push(data);
    Ok(())
}

/// `send` has another program send a message, as an event `values.foreign`.
#[allow(dead_code, reason = "nothing else sends to a bus in memory")]
pub(crate) async fn data_of_any_type_is_given_to_any_event(
    config: BusConfig,
    send: impl AsyncFn(String),
) {
    let seen = Seen::default();
    let process = EventBusManager::builder()
        .service("values")
        .bus("default", config)
        .subscribers("values.see")
        .state(seen.clone());
    let events = process.start().await.unwrap();
    for data in [
        r#""datacontenttype":"text/plain","data":"hello""#,
        r#""datacontenttype":"text/xml","data":"<a/>""#,
        r#""datacontenttype":"application/octet-stream","data_base64":"AAH/""#,
        r#""datacontenttype":"application/json","data_base64":"eyJhIjoxfQ==""#,
        r#""data":{"b":[2]}"#,
    ] {
        send(format!(
            r#"{{"specversion":"1.0","id":"x","source":"/x","type":"values.foreign",{data}}}"#
        ))
        .await;
    }
    send(r#"{"c":3}"#.to_owned()).await;
    let all = async {
        while seen.0.lock().unwrap().len() < 6 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, all).await.unwrap_or_else(|_| panic!("{:?}", seen.0));
    assert_eq!(
        *seen.0.lock().unwrap(),
        ["\"hello\"", "\"<a/>\"", "[0, 1, 255]", "{\"a\":1}", "{\"b\":[2]}", "{\"c\":3}"]
    );
    events.shutdown().await.unwrap();
}

impl Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.lock().unwrap().fmt(f)
    }
}
