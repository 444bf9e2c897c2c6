//! Plain commands to a server, without any client library.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(1);

/// The start of the answer to a command, on a connection of its own.
pub(super) fn ask(
    address: SocketAddr,
    password: Option<&str>,
    words: &[&[u8]],
) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    if let Some(password) = password {
        send(&mut stream, &[b"AUTH", password.as_bytes()])?;
    }
    send(&mut stream, words)
}

/// Sends a command (RESP: an array of bulk strings) and reads the start of the answer.
fn send(stream: &mut TcpStream, words: &[&[u8]]) -> io::Result<String> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend_from_slice(b"\r\n");
    }
    stream.write_all(&command)?;
    let mut answer = [0; 8192];
    let count = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

/// What follows a field's name in an answer of names and values.
pub(super) fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.split("\r\n").skip_while(|line| *line != name);
    // The name, the length of the value, the value.
    lines.nth(2)
}
