//! The memory backend with a way in beside the bus, for envelopes that no bus would publish: copies with one id.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use aury_events::{EventBusManagerBuilder, prelude::*};
use aury_events_backends::{
    Backend, BackendError, BackendFactory, BoxFuture, Capabilities, Envelope, EventName, Metadata,
    Origin, Outgoing, Payload, memory::MemoryBackend, register_backend, registry::Connect,
};

register_backend!(
    BackendFactory::new("raw", Capabilities::NONE, connect).url(&["raw"], "raw://name")
);

/// Those that run, by the host in their URL.
static BACKENDS: Mutex<Option<HashMap<String, Arc<MemoryBackend>>>> = Mutex::new(None);

fn connect(connect: Connect) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>> {
    let url = connect.config.url.as_ref().expect("`raw` has given one");
    let backend = Arc::new(MemoryBackend::new(&connect.config));
    let mut backends = BACKENDS.lock().unwrap();
    backends.get_or_insert_default().insert(url.expose().to_owned(), Arc::clone(&backend));
    Box::pin(async { Ok(backend as Arc<dyn Backend>) })
}

/// Publishes envelopes to the default bus of a manager.
pub(crate) struct Raw {
    url: String,
}

/// A manager with such a bus; `name` is unique in this program.
pub(crate) fn raw(builder: EventBusManagerBuilder, name: &str) -> (EventBusManagerBuilder, Raw) {
    let url = format!("raw://{name}");
    (builder.bus("default", BusConfig::backend("raw").url(&url)), Raw { url })
}

impl Raw {
    pub(crate) async fn publish(&self, envelope: Envelope) {
        self.try_publish(envelope).await.unwrap();
    }

    pub(crate) async fn try_publish(&self, envelope: Envelope) -> Result<(), BackendError> {
        let backend = BACKENDS.lock().unwrap().as_ref().unwrap()[&self.url].clone();
        backend.publish(Outgoing { envelope, origin: Origin::Application, delay: None }).await
    }
}

/// An event in an envelope of its own; its clones are copies, with one id.
pub(crate) fn envelope<E: Event>(event: E) -> Envelope {
    let metadata = Metadata::new(EventName::from_static(E::NAME), 1, "/tests", None);
    Envelope::new(metadata, Payload::Typed(E::into_payload(Arc::new(event))))
}
