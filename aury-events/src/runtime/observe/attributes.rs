//! The names of attributes, as OpenTelemetry's semantic conventions 1.44 give them, and as `tracing-opentelemetry` reads
//! what is no attribute.

pub(super) const MESSAGING_SYSTEM: &str = "messaging.system";
pub(super) const OPERATION_NAME: &str = "messaging.operation.name";
pub(super) const OPERATION_TYPE: &str = "messaging.operation.type";
pub(super) const DESTINATION_NAME: &str = "messaging.destination.name";
pub(super) const SUBSCRIPTION_NAME: &str = "messaging.destination.subscription.name";
pub(super) const CONSUMER_GROUP_NAME: &str = "messaging.consumer.group.name";
pub(super) const MESSAGE_ID: &str = "messaging.message.id";
pub(super) const CONVERSATION_ID: &str = "messaging.message.conversation_id";
pub(super) const BATCH_MESSAGE_COUNT: &str = "messaging.batch.message_count";
pub(super) const ROUTING_KEY: &str = "messaging.rabbitmq.destination.routing_key";
pub(super) const SERVER_ADDRESS: &str = "server.address";
pub(super) const SERVER_PORT: &str = "server.port";
pub(super) const ERROR_TYPE: &str = "error.type";

pub(super) const SPAN_NAME: &str = "otel.name";
pub(super) const SPAN_KIND: &str = "otel.kind";
pub(super) const STATUS_CODE: &str = "otel.status_code";
