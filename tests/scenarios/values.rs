//! Odd values, on memory: see `tests/values`.

use aury_events::prelude::*;

use crate::odd_values as rows;

#[tokio::test]
async fn what_cannot_come_back_is_refused_and_what_can_arrives() {
    rows::what_cannot_come_back_is_refused_and_what_can_arrives(BusConfig::memory().strict(true))
        .await;
}

#[tokio::test]
async fn a_strict_bus_proves_each_event() {
    rows::a_strict_bus_proves_each_event(BusConfig::memory()).await;
}
