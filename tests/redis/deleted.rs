//! Entries that somebody deletes while they are pending: they stay so before Redis 7, unless they are acknowledged.

use aury_events_backends::Backend;
use redis::Value;

use crate::{
    backends::{Server, ack, close, event, eventually, next, publish, subscribed, to_order},
    brokers::{RedisOptions, RedisRelease, RedisServer},
};

fn server(release: RedisRelease) -> Server {
    Server(RedisServer::start_with(RedisOptions::default().release(release)))
}

async fn first_id(server: &Server) -> String {
    let entries: Vec<(String, Value)> = server.ask("XRANGE events:order - + COUNT 1").await;
    entries.into_iter().next().expect("an entry").0
}

/// What is pending holds up the trimming.
async fn nothing_is_pending(server: &Server) {
    eventually("nothing is pending", async || server.pending().await == Value::Int(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_a_dead_process_held_and_was_deleted_holds_up_no_trimming() {
    for release in RedisRelease::ALL {
        let server = server(release);
        let (dying, worker) = (server.backend().await, server.backend().await);
        let mut consumer = subscribed(&dying, to_order()).await;
        publish(&worker, "order", 0..5).await;
        let held = next(&mut consumer).await;
        let id = first_id(&server).await;
        assert_eq!(server.ask::<i64>(&format!("XDEL events:order {id}")).await, 1);
        // It dies with all five.
        std::mem::forget(held);
        std::mem::forget(consumer);
        drop(dying);
        let mut consumer = subscribed(&worker, to_order()).await;
        for number in 1..5 {
            assert_eq!(ack(next(&mut consumer).await).await, number, "{release:?}");
        }
        nothing_is_pending(&server).await;
        drop(consumer);
        close([&worker]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn what_was_deleted_before_it_arrived_holds_up_no_trimming() {
    for release in RedisRelease::ALL {
        let server = server(release);
        let worker = server.backend().await;
        let mut consumer = subscribed(&worker, to_order()).await;
        publish(&worker, "order", 0..1).await;
        assert_eq!(ack(next(&mut consumer).await).await, 0);
        nothing_is_pending(&server).await;
        // As a reply that did not arrive: delivered to this process, and deleted then.
        let consumers: Vec<Vec<Value>> = server.ask("XINFO CONSUMERS events:order shop/mail").await;
        let name: String = redis::from_redis_value(consumers[0][1].clone()).unwrap();
        let client = redis::Client::open(server.0.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut lost = redis::pipe();
        lost.atomic().cmd("XADD").arg("events:order").arg("99999999999999-1").arg("event").arg(1);
        lost.cmd("XREADGROUP").arg("GROUP").arg("shop/mail").arg(&name).arg("STREAMS");
        lost.arg("events:order").arg(">");
        lost.cmd("XDEL").arg("events:order").arg("99999999999999-1");
        lost.exec_async(&mut connection).await.unwrap();
        assert_eq!(server.pending().await, Value::Int(1), "{release:?}");
        server.ask::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
        nothing_is_pending(&server).await;
        for result in worker.publish_all(&mut [event("order", 7)].into_iter()).await {
            result.unwrap();
        }
        assert_eq!(ack(next(&mut consumer).await).await, 7);
        drop(consumer);
        close([&worker]).await;
    }
}
