//! One check's world: a subject, and a namespace that no other check uses.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    process::{Process, SOURCE},
    subject::{AnySubject, Fault, Unsupported},
};
use crate::{backend::Capabilities, config::BackendConfig, envelope::EventName, registry::Connect};

/// How long a publish may take in the suite: short, so that an outage is noticed by those who publish.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Trial {
    subject: Arc<dyn AnySubject>,
    namespace: String,
    capabilities: Capabilities,
}

/// What a check asks of a backend before it can apply.
#[derive(Debug, Clone, Copy)]
pub(super) enum Need {
    AtLeastOnce,
    Patterns,
    SharedWork,
    NoSharedWork,
    Remote,
    Delay,
}

impl Trial {
    pub(super) async fn new(subject: Arc<dyn AnySubject>) -> Self {
        let namespace = format!("t{}", Uuid::new_v4().simple());
        let mut trial = Self { subject, namespace, capabilities: Capabilities::NONE };
        let process = trial.process("capabilities").await;
        trial.capabilities = process.backend.capabilities();
        process.backend.close().await.expect("a backend that did nothing can be closed");
        trial
    }

    /// Ends a check that does not apply.
    pub(super) fn needs(&self, need: Need) -> Result<(), Unsupported> {
        let (met, otherwise) = match need {
            Need::AtLeastOnce => (self.is_at_least_once(), "delivery is at most once"),
            Need::Patterns => (self.capabilities.patterns, "there are no patterns"),
            Need::SharedWork => (self.capabilities.shared_work, "work is not shared"),
            Need::NoSharedWork => (!self.capabilities.shared_work, "work is shared"),
            Need::Remote => (self.is_remote(), "events do not leave the process"),
            Need::Delay => (self.capabilities.delay, "events are not published with a delay"),
        };
        if met { Ok(()) } else { Err(Unsupported::new(otherwise)) }
    }

    pub(super) fn is_at_least_once(&self) -> bool {
        self.capabilities.at_least_once
    }

    pub(super) fn is_remote(&self) -> bool {
        self.capabilities.remote
    }

    /// What a process of a service is told.
    pub(super) fn connect(&self, service: &str) -> Connect {
        let config = BackendConfig { publish_timeout: PUBLISH_TIMEOUT, ..BackendConfig::default() };
        Connect::new(
            self.namespace.as_str(),
            format!("{}-{service}", self.namespace),
            SOURCE,
            config,
        )
    }

    /// A process of a service.
    pub(super) async fn process(&self, service: &str) -> Process {
        self.process_as(self.connect(service)).await
    }

    pub(super) async fn process_as(&self, connect: Connect) -> Process {
        let service = Arc::clone(&connect.service);
        match self.subject.connect(connect).await {
            Ok(backend) => Process { backend, service },
            Err(error) => panic!("could not connect: {error}: {error:?}"),
        }
    }

    /// One process to publish and another one to subscribe; the same one where events do not leave it.
    pub(super) async fn two_processes(&self) -> (Process, Process) {
        let subscribing = self.process("shop").await;
        let publishing =
            if self.is_remote() { self.process("till").await } else { subscribing.clone() };
        (publishing, subscribing)
    }

    pub(super) fn subject(&self) -> Arc<dyn AnySubject> {
        Arc::clone(&self.subject)
    }

    pub(super) async fn inflict(&self, fault: Fault) -> Result<(), Unsupported> {
        self.subject.inflict(fault).await
    }

    pub(super) async fn publish_raw(
        &self,
        process: &Connect,
        name: &EventName,
        bytes: &[u8],
    ) -> Result<(), Unsupported> {
        self.subject.publish_raw(process, name, bytes).await
    }

    pub(super) fn redelivery_time(&self) -> Duration {
        self.subject.redelivery_time()
    }

    pub(super) fn recovery_time(&self) -> Duration {
        self.subject.recovery_time()
    }
}
