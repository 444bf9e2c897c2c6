//! Managers that are not shut down.

use crate::{brokers::RedisServer, dropping::fifty_dropped_managers_leave_nothing};

#[test]
#[ignore = "needs redis-server; tests/run installs it"]
fn fifty_dropped_managers_leave_nothing_on_redis() {
    let server = RedisServer::start();
    fifty_dropped_managers_leave_nothing(&[
        ("EVENT_BACKEND", "redis"),
        ("EVENT_URL", &server.url()),
    ]);
}

#[test]
#[ignore = "needs redis-server; tests/run installs it"]
fn fifty_dropped_managers_leave_nothing_on_redis_streams() {
    let server = RedisServer::start();
    fifty_dropped_managers_leave_nothing(&[
        ("EVENT_BACKEND", "redis-streams"),
        ("EVENT_URL", &server.url()),
    ]);
}

#[test]
#[ignore = "needs redis-server; tests/run installs it"]
fn a_runtime_that_has_ended_is_told_and_init_may_start_anew() {
    for backend in ["redis", "redis-streams"] {
        let server = RedisServer::start();
        let test = crate::runtimes::a_runtime_that_has_ended_is_told_and_init_may_start_anew;
        test(backend, &server.url());
    }
}
