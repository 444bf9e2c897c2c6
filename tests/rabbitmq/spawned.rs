//! Tasks that handlers spawn, on RabbitMQ: see `tests/spawned`.

use aury_events::prelude::*;
use tokio::task::block_in_place;

use crate::{brokers::RabbitServer, spawned_rows as rows};

/// A bus on a virtual host of the shared server that nothing else uses.
fn bus(virtual_host: &str) -> BusConfig {
    let server = block_in_place(|| {
        let server = RabbitServer::shared();
        server.add_virtual_host(virtual_host);
        server
    });
    BusConfig::rabbitmq(server.url_with("guest", "guest", virtual_host))
}

macro_rules! rows {
    ($($row:ident($($is_local:literal)?)),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        #[ignore = "needs rabbitmq-server; tests/run installs it"]
        async fn $row() {
            rows::$row(bus(stringify!($row)) $(, $is_local)?).await;
        }
    )*};
}

// What a handler publishes during shutdown is not handled here: the bus takes nothing in any more.
rows! {
    a_handler_that_waits_for_its_task_is_not_refused_while_the_bus_drains(false),
    a_shutdown_waits_for_what_a_context_has_spawned(false),
    a_task_that_does_not_end_is_left_over(),
    what_branches_of_a_handler_publish_belongs_to_the_chain(),
}
