//! A backend as a third party declares one, for the tests of the configuration.

use std::time::Duration;

use aury_events_backends::{
    BackendError, BackendFactory, Capabilities,
    config::{Setting, read},
    register_backend,
};

pub(super) static RETENTION: Setting<Duration> =
    Setting::new("RETENTION", "How long the server keeps events", "24h", read::duration);

pub(super) static TOKEN: Setting<String> =
    Setting::new("TOKEN", "What the server knows us by", "", |text| match text {
        "wrong" => Err("expected a token".to_owned()),
        _ => Ok(text.to_owned()),
    })
    .secret();

register_backend!(
    BackendFactory::new("nats", Capabilities::NONE.remote(), |_| {
        Box::pin(async { Err(BackendError::closed()) })
    })
    .url(&["nats", "nats+tls"], "nats://localhost:4222")
    .settings(&[&RETENTION, &TOKEN])
);

// Two crates that know nothing of each other take one scheme.
register_backend!(
    BackendFactory::new("one", Capabilities::NONE, |_| {
        Box::pin(async { Err(BackendError::closed()) })
    })
    .url(&["shared"], "shared://localhost")
);
register_backend!(
    BackendFactory::new("other", Capabilities::NONE, |_| {
        Box::pin(async { Err(BackendError::closed()) })
    })
    .url(&["shared"], "shared://localhost")
);
