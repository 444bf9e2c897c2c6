//! The servers themselves, here and not beside the others' tests, since each test program that uses servers has these.

use std::{
    env,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::brokers::{Leased, RabbitServer};

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// The queues of the virtual host `/`, each with its messages.
fn queues(server: &RabbitServer) -> String {
    server.ctl(&["list_queues", "name", "messages"])
}

const DECLARE: &str = r#"rabbit_amqqueue:declare({resource, <<"/">>, queue, <<"kept">>}, true, false, [], none, <<"tests">>), ok."#;

#[test]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
fn a_server_keeps_its_data_when_it_is_killed_and_ends_with_its_value() {
    let mut server = RabbitServer::start();
    let address = server.address();
    assert_eq!(server.url(), format!("amqp://guest:guest@{address}/%2f"));
    server.ctl(&["eval", DECLARE]);
    for end in [RabbitServer::kill, RabbitServer::stop] {
        end(&mut server);
        assert!(!listens(address));
        server.start_again();
        assert_eq!(queues(&server).trim_end(), "kept\t0");
    }
    server.pause();
    // It is killed all the same.
    drop(server);
    assert!(!listens(address));
}

#[test]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
fn a_leased_server_goes_to_the_next_test_unless_it_is_broken() {
    let first = RabbitServer::lease();
    let address = first.address();
    first.pause();
    first.resume();
    drop(first);
    let again = leased_at(address);
    again.pause();
    drop(again);
    assert!(!listens(address));
}

/// Leases servers until it is the one there.
fn leased_at(address: SocketAddr) -> Leased {
    loop {
        let leased = RabbitServer::lease();
        if leased.address() == address {
            return leased;
        }
    }
}

/// In the child process: that it is one.
const IS_CHILD: &str = "AURY_EVENTS_TEST_CHILD";

#[test]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
fn a_shared_server_ends_with_the_program_even_if_that_is_killed() {
    if env::var_os(IS_CHILD).is_some() {
        println!("\nlistens at {}", RabbitServer::shared().address());
        thread::sleep(Duration::from_secs(60));
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["harness::a_shared_server_ends_with_the_program_even_if_that_is_killed"])
        .args(["--exact", "--ignored", "--nocapture"])
        .env(IS_CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("listens at ")?.parse::<SocketAddr>().ok())
        .expect("the child says where its server listens");
    assert!(listens(address));
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    while listens(address) {
        assert!(killed.elapsed() < Duration::from_secs(10), "the server outlives its program");
        thread::sleep(Duration::from_millis(10));
    }
}
