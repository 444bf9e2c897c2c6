use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::*;

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    lines: Vec<Line>,
    note: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    price: f64,
    rates: BTreeMap<String, Option<f32>>,
}

fn order(price: f64, rate: Option<f32>) -> Order {
    let rates = BTreeMap::from([("eur".to_owned(), rate)]);
    let fine = Line { price: 1.5, rates: BTreeMap::new() };
    Order { lines: vec![fine, Line { price, rates }], note: None }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

#[test]
fn a_number_that_is_not_finite_is_named_by_its_field() {
    assert!(write(&order(1.5, None)).is_ok(), "null is a value like others");
    let text = write(&order(f64::NAN, None)).unwrap_err().to_string();
    assert!(text.contains("`lines[1].price` is NaN"), "{text}");
    let text = write(&order(0.1, Some(f32::NEG_INFINITY))).unwrap_err().to_string();
    assert!(text.contains("`lines[1].rates.eur` is -inf"), "{text}");
    assert!(write(&f64::INFINITY).unwrap_err().to_string().contains("`the event` is inf"));
}

#[test]
fn what_is_written_is_what_serde_json_writes() {
    let value = order(0.1 + 0.2, Some(1.0e-7));
    assert_eq!(write(&value).unwrap(), serde_json::to_vec(&value).unwrap());
}

#[test]
fn what_nobody_could_read_is_refused_and_what_somebody_can_is_not() {
    for depth in [1, MAX_DEPTH - 1, MAX_DEPTH] {
        let text = write(&nested(depth)).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap();
    }
    for depth in [MAX_DEPTH + 1, 10 * MAX_DEPTH] {
        let error = write(&nested(depth)).unwrap_err();
        assert!(error.to_string().contains("nested more than 127 levels"), "{error}");
        assert!(error.to_string().len() < 400, "{error}");
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Wide { amount: i128 },
    Narrow { amount: i64 },
}

/// Writes one thing and reads another.
#[derive(Debug, Serialize, Deserialize)]
struct Lossy {
    id: u32,
    #[serde(serialize_with = "as_zero")]
    count: u32,
}

fn as_zero<S: serde::Serializer>(count: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(count.saturating_sub(1))
}

#[test]
fn a_round_trip_tells_what_would_not_come_back() {
    prove(&order(0.1 + 0.2, Some(0.3))).unwrap();
    prove(&Tagged::Narrow { amount: i64::MIN }).unwrap();
    let text = prove(&Tagged::Wide { amount: i128::MAX }).unwrap_err().to_string();
    assert!(text.contains("cannot be read back"), "{text}");
    let text = prove(&Lossy { id: 1, count: 5 }).unwrap_err().to_string();
    assert!(text.contains("`count` does not come back"), "{text}");
    assert!(prove(&BTreeMap::from([(vec![1], 2)])).is_err(), "keys are strings in JSON");
    assert!(prove(&order(f64::NAN, None)).unwrap_err().to_string().contains("lines[1].price"));
}

/// As those do who tell what is not there from what is `null`.
#[derive(Debug, Serialize, Deserialize)]
struct Patch {
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    name: Option<Option<String>>,
    #[serde(default)]
    notes: Vec<Option<Option<u8>>>,
}

fn given<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[test]
fn a_some_of_nothing_is_refused_unless_it_comes_back() {
    #[derive(Serialize, Deserialize)]
    struct Marker;
    for error in [
        write(&Some(())).unwrap_err(),
        write(&Some(None::<u8>)).unwrap_err(),
        write(&Some(Value::Null)).unwrap_err(),
        write(&Some(Marker)).unwrap_err(),
    ] {
        assert!(error.to_string().contains("`the event` is a `Some` of nothing"), "{error}");
    }
    write(&(None::<()>, (), Marker, Some([None::<u8>]), Value::Null)).unwrap();
    let patch = |notes| Patch { name: Some(None), notes };
    assert_eq!(write(&patch(vec![])).unwrap(), br#"{"name":null,"notes":[]}"#);
    write(&patch(vec![None, Some(Some(1))])).unwrap();
    let error = write(&patch(vec![None, Some(None)])).unwrap_err().to_string();
    assert!(error.contains("`notes[1]` is a `Some` of nothing"), "{error}");
}

#[test]
fn the_order_of_maps_and_sets_is_no_difference() {
    let map: HashMap<u32, HashSet<String>> =
        (0..50).map(|n| (n, (0..50).map(|n| n.to_string()).collect())).collect();
    prove(&map).unwrap();
}
