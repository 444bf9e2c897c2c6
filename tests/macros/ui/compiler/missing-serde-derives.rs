use aury_events::prelude::*;

#[derive(Event)]
struct OrderCreated {
    order_id: String,
}

#[subscribe]
async fn count(_event: &OrderCreated) {}

fn main() {
    let _ = aury_events::publish(OrderCreated { order_id: "o-1".into() });
}
