use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe]
pub struct Statistics;

#[subscribe]
impl Statistics {}

fn main() {}
