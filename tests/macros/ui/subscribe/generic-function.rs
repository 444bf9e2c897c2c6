use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe]
async fn types<E: Event>(_event: &E) {}

#[subscribe]
async fn constants<const N: usize>(_event: &OrderCreated) {}

#[subscribe]
async fn lifetimes<'a>(_event: &'a OrderCreated) {}

#[subscribe]
async fn bounds(_event: &OrderCreated)
where
    OrderCreated: Clone,
{
}

#[subscribe]
async fn implicitly(_event: impl Event, _mailer: State<impl Clone>) {}

fn main() {}
