use aury_events::prelude::*;

#[derive(Event)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
