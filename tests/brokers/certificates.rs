//! Certificates of an authority that nobody knows.

use std::{fs, path::Path, process::Command};

/// Makes an authority (`ca.crt`), and a certificate of its for 127.0.0.1 (`server.crt`, `server.key`).
pub(crate) fn make_certificates(folder: &Path) {
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    for command in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
         -subj /CN=authority -keyout ca.key -out ca.crt",
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server \
         -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
         -extfile names -out server.crt",
    ] {
        let made = Command::new("openssl").current_dir(folder).args(command.split(' ')).output();
        assert!(made.expect("openssl is installed").status.success());
    }
}
