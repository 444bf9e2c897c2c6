//! Where an event goes to or comes from, as OpenTelemetry's messaging conventions name it.

use std::sync::Arc;

/// Where an event goes to or comes from, for traces and metrics: attributes of OpenTelemetry's semantic conventions for
/// messaging, version 1.44.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Destination {
    /// `messaging.system`, as in `rabbitmq`.
    pub system: Arc<str>,
    /// `messaging.destination.name`: the stream, the channel, or the exchange with the routing key and the queue.
    pub name: String,
    /// `messaging.rabbitmq.destination.routing_key`.
    pub routing_key: Option<String>,
    /// The broker, where one address is known.
    pub server: Option<Server>,
}

/// The address of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// `server.address`: a host, or the path of a socket.
    pub address: Arc<str>,
    /// `server.port`.
    pub port: Option<u16>,
}

impl Server {
    /// A server at that address.
    pub fn new(address: impl Into<Arc<str>>, port: Option<u16>) -> Self {
        Self { address: address.into(), port }
    }

    /// The same server; where it names no port, it is at that one.
    #[must_use]
    pub fn or_port(self, port: u16) -> Self {
        Self { port: self.port.or(Some(port)), ..self }
    }
}

impl Destination {
    /// A destination of that messaging system.
    pub fn new(system: impl Into<Arc<str>>, name: impl Into<String>) -> Self {
        Self { system: system.into(), name: name.into(), routing_key: None, server: None }
    }

    /// Sets the routing key.
    #[must_use]
    pub fn with_routing_key(mut self, routing_key: impl Into<String>) -> Self {
        self.routing_key = Some(routing_key.into());
        self
    }

    /// Sets the address of the broker.
    #[must_use]
    pub fn with_server(mut self, server: Option<Server>) -> Self {
        self.server = server;
        self
    }
}
