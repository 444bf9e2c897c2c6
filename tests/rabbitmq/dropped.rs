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
