//! What every backend has to be, this one is.

use std::sync::Arc;

use aury_events_backends::{
    Backend, BackendError, BackendFactory, conformance::Subject, conformance_tests,
    registry::Connect,
};
use loopback as _;

struct Loopback;

impl Subject for Loopback {
    async fn connect(&self, mut process: Connect) -> Result<Arc<dyn Backend>, BackendError> {
        process.config.url = "loopback://conformance".parse().ok();
        BackendFactory::find("loopback").expect("it is linked").connect(process).await
    }
}

conformance_tests!(Loopback);
