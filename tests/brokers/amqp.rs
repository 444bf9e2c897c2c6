//! A plain client of RabbitMQ: what programs do that have never heard of the framework.

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable, ShortString},
};

/// A connection with a channel that confirms what is published.
pub(crate) struct Amqp {
    channel: Channel,
    _connection: Connection,
}

/// A message that was taken from a queue.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) body: Vec<u8>,
    pub(crate) properties: BasicProperties,
}

impl Amqp {
    /// # Panics
    ///
    /// When the server refuses.
    pub(crate) async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await;
        let connection = connection.expect("the server takes connections");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        Self { channel, _connection: connection }
    }

    /// The channel, for whatever else there is to do.
    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Publishes bytes and nothing else. The server has taken them when this returns.
    pub(crate) async fn publish(&self, exchange: &str, routing_key: &str, body: &[u8]) {
        self.publish_with(exchange, routing_key, body, BasicProperties::default()).await;
    }

    /// Publishes a message to a queue that is there. The server has taken it when this returns.
    pub(crate) async fn publish_with(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (exchange.into(), routing_key.into());
        let sent = self.channel.basic_publish(exchange, key, options, body, properties).await;
        let confirmed = sent.expect("it is sent").await.expect("it is answered");
        assert!(confirmed.is_ack(), "{routing_key}: {confirmed:?}");
        assert!(confirmed.take_message().is_none(), "nobody listens to {routing_key}");
    }

    /// Takes the next message from a queue, if there is one.
    pub(crate) async fn get(&self, queue: &str) -> Option<Message> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(queue.into(), options).await.expect("the queue is there");
        got.map(|it| Message { body: it.delivery.data, properties: it.delivery.properties })
    }

    /// How many messages a queue holds that nobody has taken.
    pub(crate) async fn count(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(queue.into(), options, FieldTable::default());
        declared.await.expect("the queue is there").message_count()
    }

    /// Declares a durable queue of a type.
    pub(crate) async fn declare(&self, queue: &str, queue_type: &str) {
        let mut arguments = FieldTable::default();
        arguments
            .insert(ShortString::from("x-queue-type"), AMQPValue::LongString(queue_type.into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(queue.into(), options, arguments);
        declared.await.expect("it is declared");
    }

    /// Deletes a queue with what it holds.
    pub(crate) async fn delete(&self, queue: &str) {
        let deleted = self.channel.queue_delete(queue.into(), QueueDeleteOptions::default());
        deleted.await.expect("it is deleted");
    }
}
