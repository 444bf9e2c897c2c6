//! The options of subscribers on RabbitMQ: see `tests/policies`.

use tokio::task::block_in_place;

use crate::{
    brokers::RabbitServer,
    rows::{self, Broker},
};

/// A virtual host of the shared server that nothing else uses.
fn broker(virtual_host: &str) -> Broker {
    let server = block_in_place(|| {
        let server = RabbitServer::shared();
        server.add_virtual_host(virtual_host);
        server
    });
    let url = server.url_with("guest", "guest", virtual_host);
    Broker { backend: "rabbitmq", url, at_least_once: true, shared_work: true }
}

macro_rules! rows {
    ($($row:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        #[ignore = "needs rabbitmq-server; tests/run installs it"]
        async fn $row() {
            rows::$row(broker(stringify!($row))).await;
        }
    )*};
}

rows! {
    a_long_retry_comes_back_in_time_and_is_a_dead_letter_in_the_end,
    a_durable_subscriber_starts_where_delivery_is_at_least_once,
    a_broadcast_reaches_every_process_of_a_service,
    a_batch_gets_full,
    events_of_one_key_are_handled_in_order,
    the_order_of_a_service_is_refused_at_start_up,
    as_many_run_at_a_time_as_the_subscriber_says,
    a_named_subscription_is_made_again_under_its_name,
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server and redis-server; tests/run installs them"]
async fn what_one_process_has_handled_another_one_skips() {
    use aury_events::RedisIdempotency;

    let redis = crate::brokers::RedisServer::start();
    let store = || async { RedisIdempotency::connect(&redis.url()).await.unwrap() };
    rows::what_one_process_has_handled_another_one_skips(broker("skips"), store).await;
}
