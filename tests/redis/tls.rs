//! `rediss://`: encrypted, and with a certificate that is verified.

use std::{env, net::TcpListener, process::Command};

use aury_events::prelude::*;

use crate::brokers::{RedisOptions, RedisServer, make_certificates};

/// In the child process: where to connect to.
const URL: &str = "AURY_EVENTS_TEST_TLS_URL";

/// Which certificates the system trusts is settled per process, so the client is one of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; tests/run installs it"]
async fn a_certificate_is_trusted_if_its_authority_is() {
    if let Ok(url) = env::var(URL) {
        let config = BusConfig::redis(url);
        let manager = EventBusManager::builder().subscribers("none").bus("default", config);
        manager.start().await.unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let path = |file: &str| folder.path().join(file).display().to_string();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (authority, certificate, key) = (path("ca.crt"), path("server.crt"), path("server.key"));
    let options = RedisOptions::default().password("secret").arguments([
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        &authority,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ]);
    let _server = RedisServer::start_with(options);
    let connect = |trusted: &str| {
        let output = Command::new(env::current_exe().unwrap())
            .args(["tls::a_certificate_is_trusted_if_its_authority_is", "--exact", "--ignored"])
            .env(URL, format!("rediss://:secret@127.0.0.1:{port}/1"))
            .env("SSL_CERT_FILE", trusted)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (connected, output) = connect(&authority);
    assert!(connected, "{output}");

    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let (connected, output) = connect(&folder.path().join("ca.crt").display().to_string());
    assert!(!connected);
    assert!(output.contains("invalid peer certificate"), "{output}");
    assert!(!output.contains("secret"), "{output}");
}
