//! Odd values, on RabbitMQ: see `tests/values`.

use crate::{
    brokers::{Amqp, RabbitServer},
    odd_values as rows,
    support::Place,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn what_cannot_come_back_is_refused_and_what_can_arrives() {
    let place = Place::at(RabbitServer::shared().url());
    rows::what_cannot_come_back_is_refused_and_what_can_arrives(place.config()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_strict_bus_proves_each_event() {
    let place = Place::at(RabbitServer::shared().url());
    rows::a_strict_bus_proves_each_event(place.config()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn data_of_any_type_is_given_to_any_event() {
    let place = Place::at(RabbitServer::shared().url());
    let client = Amqp::connect(&place.url).await;
    let send = async |message: String| {
        client.publish(&place.name, "values.foreign", message.as_bytes()).await;
    };
    rows::data_of_any_type_is_given_to_any_event(place.config(), send).await;
}
