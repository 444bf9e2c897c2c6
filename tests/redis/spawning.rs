//! Tasks that handlers spawn, on Redis: see `tests/spawned`.

use aury_events::prelude::*;

use crate::{brokers::RedisServer, spawned};

fn pubsub(server: &RedisServer) -> BusConfig {
    BusConfig::redis(server.url())
}

fn streams(server: &RedisServer) -> BusConfig {
    BusConfig::redis_streams(server.url())
}

/// Each function on a server of its own, on both backends. What follows a name is given to it, too.
macro_rules! rows {
    ($($row:ident $(($given:expr))?),* $(,)?) => {
        mod on_pubsub {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                #[ignore = "needs redis-server; tests/run installs it"]
                async fn $row() {
                    let server = RedisServer::start();
                    spawned::$row(pubsub(&server) $(, $given)?).await;
                }
            )*
        }

        mod on_streams {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                #[ignore = "needs redis-server; tests/run installs it"]
                async fn $row() {
                    let server = RedisServer::start();
                    spawned::$row(streams(&server) $(, $given)?).await;
                }
            )*
        }
    };
}
rows! {
    // A bus that drains takes in nothing more from its server.
    a_handler_that_waits_for_its_task_is_not_refused_while_the_bus_drains(false),
    a_shutdown_waits_for_what_a_context_has_spawned(false),
    a_task_that_does_not_end_is_left_over,
    what_branches_of_a_handler_publish_belongs_to_the_chain,
}
