//! Where the key of an event comes from.

use aury_events::{Event, EventExt};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "keys.by_field")]
struct ByField {
    #[event(key)]
    order: Option<Uuid>,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "keys.of_several", key = OfSeveral::place)]
struct OfSeveral {
    region: String,
    shop: u16,
}

impl OfSeveral {
    fn place(&self) -> String {
        format!("{}/{}", self.region, self.shop)
    }
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "keys.of_an_enum", key = customer)]
enum OfAnEnum {
    Moved { customer: String },
    Left(String),
}

fn customer(event: &OfAnEnum) -> &str {
    match event {
        OfAnEnum::Moved { customer } | OfAnEnum::Left(customer) => customer,
    }
}

#[test]
fn a_key_comes_from_a_field_or_from_a_function() {
    let order = Uuid::from_u128(7);
    let by_field = ByField { order: Some(order) };
    assert_eq!(by_field.key().as_deref(), Some("00000000-0000-0000-0000-000000000007"));
    assert_eq!(ByField { order: None }.key(), None);
    let of_several = OfSeveral { region: "eu".into(), shop: 12 };
    assert_eq!(of_several.key().as_deref(), Some("eu/12"));
    for event in [OfAnEnum::Moved { customer: "c".into() }, OfAnEnum::Left("c".into())] {
        assert_eq!(event.key().as_deref(), Some("c"));
        assert_eq!(event.event_name(), "keys.of_an_enum");
    }
}
