//! `EVENT_STRICT`, before the memory backend: here, where no wire would find it. (`strict` itself knows no backend.)

use std::sync::Arc;

use super::MemoryBackend;
use crate::{
    backend::{Backend, Origin, Outgoing},
    config::BackendConfig,
    envelope::{Envelope, EventName, Payload},
    strict::Strict,
};

fn event(price: f64) -> Outgoing {
    let name = EventName::from_static("price.set");
    let payload = Payload::Typed(Arc::new(price));
    let envelope = Envelope::published(name, 1, "/shop", None, payload);
    Outgoing { envelope, origin: Origin::Application, delay: None }
}

#[tokio::test]
async fn what_a_broker_could_not_carry_is_refused_and_the_rest_is_published() {
    let memory = Arc::new(MemoryBackend::new(&BackendConfig::default()));
    let strict = Strict::new(Arc::clone(&memory) as _, 8);
    strict.publish(event(1.5)).await.unwrap();
    let error = strict.publish(event(f64::NAN)).await.unwrap_err();
    assert!(error.to_string().contains("`the event` is NaN"), "{error}");
    let error = strict.publish(event(1.0 / 3.0)).await.unwrap_err();
    assert!(error.is_too_large(), "{error}");
    let mut events = [1.0, 2.0, f64::INFINITY, 3.0].map(event).into_iter();
    let results = strict.publish_all(&mut events).await;
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(events.count(), 1, "nothing is taken after the first failure");
    memory.publish(event(f64::NAN)).await.expect("which is what it costs without");
}
