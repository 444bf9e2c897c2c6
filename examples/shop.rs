use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
#[derive(Serialize, Deserialize, Event)]
struct OrderCreated {
    amount: f64,
}
#[subscribe]
async fn hello(event: &OrderCreated) {
    println!("{}", event.amount);
}
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aury_events::Error> {
    let events = aury_events::init_from_env().await?;
    aury_events::publish(OrderCreated { amount: 99.0 }).await?;
    events.shutdown().await?;
    Ok(())
}
