//! Managers that are not shut down.

use crate::{brokers::RabbitServer, dropping::fifty_dropped_managers_leave_nothing};

#[test]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
fn fifty_dropped_managers_leave_nothing_on_rabbitmq() {
    let url = RabbitServer::shared().url();
    fifty_dropped_managers_leave_nothing(&[
        ("EVENT_BACKEND", "rabbitmq"),
        ("EVENT_URL", &url),
        ("EVENT_EXCHANGE_NAME", "dropping"),
    ]);
}

#[test]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
fn a_runtime_that_has_ended_is_told_and_init_may_start_anew() {
    let url = RabbitServer::shared().url();
    crate::runtimes::a_runtime_that_has_ended_is_told_and_init_may_start_anew("rabbitmq", &url);
}
