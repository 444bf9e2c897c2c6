//! `amqps://`: encrypted, and with a certificate that is verified.

use std::{
    env,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use aury_events_backends::error::WithCauses;

use crate::{
    brokers::{RabbitServer, make_certificates},
    support::Place,
};

/// In the child process: where to connect to.
const URL: &str = "AURY_EVENTS_TEST_TLS_URL";

/// Which certificates the system trusts is settled per process, so the client is one of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_certificate_is_trusted_if_its_authority_is() {
    if let Ok(url) = env::var(URL) {
        let started = Place::at(url).process("none").start().await;
        started.map_err(|error| WithCauses(&error).to_string()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let path = |file: &str| folder.path().join(file).display().to_string();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let authority = path("ca.crt");
    let settings = format!(
        "listeners.ssl.default = 127.0.0.1:{port}\n\
         ssl_options.cacertfile = {authority}\n\
         ssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\n\
         ssl_options.verify = verify_none\n",
        path("server.crt"),
        path("server.key"),
    );
    let _server = tokio::task::block_in_place(|| RabbitServer::start_with(&settings));
    let connect = |trusted: &str, password: &str| {
        let start = Instant::now();
        let output = Command::new(env::current_exe().unwrap())
            .args(["tls::a_certificate_is_trusted_if_its_authority_is", "--exact", "--ignored"])
            .env(URL, format!("amqps://guest:{password}@127.0.0.1:{port}/%2f"))
            .env("SSL_CERT_FILE", trusted)
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}: {output}", start.elapsed());
        output
    };
    let output = connect(&authority, "guest");
    assert!(output.contains("1 passed"), "{output}");
    let output = connect(&authority, "hunter2");
    assert!(output.contains("ACCESS_REFUSED") && !output.contains("hunter2"), "{output}");

    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let output = connect(&folder.path().join("ca.crt").display().to_string(), "hunter2");
    assert!(output.contains("invalid peer certificate"), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
}

/// The files are named by the bus, and the server wants a certificate, too.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn a_private_authority_and_a_certificate_of_ones_own_are_named_by_files() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let path = |file: &str| folder.path().join(file).display().to_string();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = format!(
        "listeners.ssl.default = 127.0.0.1:{port}\n\
         ssl_options.cacertfile = {}\n\
         ssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\n\
         ssl_options.verify = verify_peer\n\
         ssl_options.fail_if_no_peer_cert = true\n",
        path("ca.crt"),
        path("server.crt"),
        path("server.key"),
    );
    let server = tokio::task::block_in_place(|| RabbitServer::start_with(&settings));
    let place = Place::at(format!("amqps://guest:guest@127.0.0.1:{port}/%2f"));
    let start = async |config| {
        let started = place.process_as("none", config).start().await;
        started.map(drop).map_err(|error| WithCauses(&error).to_string())
    };
    let trusting =
        || place.config().connect_timeout(Duration::from_secs(3)).tls_ca_file(path("ca.crt"));
    let complete = trusting().tls_cert_file(path("server.crt")).tls_key_file(path("server.key"));
    start(complete).await.unwrap();
    start(trusting()).await.expect_err("the server wants a certificate");
    let error = start(trusting().tls_cert_file(path("server.crt"))).await.unwrap_err();
    assert!(error.contains("tls_key_file"), "{error}");
    let error = start(place.config().tls_ca_file(path("none.crt"))).await.unwrap_err();
    assert!(error.contains("none.crt"), "{error}");
    let plain = Place::at(server.url());
    let started =
        plain.process_as("none", plain.config().tls_ca_file(path("ca.crt"))).start().await;
    let error = WithCauses(&started.unwrap_err()).to_string();
    assert!(error.contains("amqps://"), "{error}");
}
