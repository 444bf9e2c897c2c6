//! AMQP 0-9-1 by hand, for what no client library writes: bytes that are no UTF-8, and tables of any shape.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;

/// A connection with one channel, which confirms.
pub(crate) struct RawAmqp(TcpStream);

/// The properties of a message, as they go over the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawProperties {
    flags: u16,
    bytes: Vec<u8>,
}

impl RawProperties {
    /// Adds a property by its number in the specification, from 0 (content-type) to 13; in rising order.
    #[must_use]
    pub(crate) fn with(mut self, number: u32, bytes: &[u8]) -> Self {
        let flag = 1 << (15 - number);
        assert!(self.flags & (flag | (flag - 1) & !1) == 0, "properties come in order");
        self.flags |= flag;
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A table of headers, whose entries are written already.
    #[must_use]
    pub(crate) fn with_headers(self, entries: &[u8]) -> Self {
        self.with(2, &long(entries))
    }

    #[must_use]
    pub(crate) fn with_message_id(self, id: &[u8]) -> Self {
        self.with(8, &short(id))
    }

    #[must_use]
    pub(crate) fn with_timestamp(self, seconds: u64) -> Self {
        self.with(9, &seconds.to_be_bytes())
    }
}

/// A short string, of whatever bytes.
pub(crate) fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("a short string is short")][..], bytes].concat()
}

/// What has its length in four bytes before it.
pub(crate) fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

impl RawAmqp {
    /// Connects as `guest` to the virtual host `/`.
    ///
    /// # Panics
    ///
    /// When the server does not answer, or not as it should.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit can be set");
        let mut this = Self(stream);
        this.0.write_all(b"AMQP\0\0\x09\x01").expect("the server reads");
        this.expect((10, 10));
        let login = [long(&[]), short(b"PLAIN"), long(b"\0guest\0guest"), short(b"en_US")].concat();
        this.method(0, (10, 11), &login);
        let tune = this.expect((10, 30));
        this.method(0, (10, 31), &[&tune[..6], &[0, 0]].concat());
        this.method(0, (10, 40), &[short(b"/"), short(b""), vec![0]].concat());
        this.expect((10, 41));
        this.method(1, (20, 10), &short(b""));
        this.expect((20, 11));
        this.method(1, (85, 10), &[0]);
        this.expect((85, 11));
        this
    }

    /// Publishes a message. The server has taken it when this returns.
    pub(crate) fn publish(
        &mut self,
        exchange: &str,
        key: &[u8],
        properties: &RawProperties,
        body: &[u8],
    ) {
        let target = [vec![0, 0], short(exchange.as_bytes()), short(key), vec![0]].concat();
        self.method(1, (60, 40), &target);
        let size = (body.len() as u64).to_be_bytes();
        let flags = properties.flags.to_be_bytes();
        let header = [&[0, 60, 0, 0][..], &size, &flags, &properties.bytes].concat();
        self.frame(HEADER, 1, &header);
        if !body.is_empty() {
            self.frame(BODY, 1, body);
        }
        self.expect((60, 80));
    }

    fn method(&mut self, channel: u16, (class, method): (u16, u16), arguments: &[u8]) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.frame(METHOD, channel, &payload);
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let frame = [&[kind][..], &channel.to_be_bytes(), &long(payload), &[206]].concat();
        self.0.write_all(&frame).expect("the server reads");
    }

    /// Reads until that method comes; gives its arguments.
    fn expect(&mut self, (class, method): (u16, u16)) -> Vec<u8> {
        loop {
            let mut head = [0; 7];
            self.0.read_exact(&mut head).expect("the server answers");
            let size = u32::from_be_bytes(head[3..].try_into().expect("four bytes"));
            let mut payload = vec![0; size as usize + 1];
            self.0.read_exact(&mut payload).expect("the server ends its frames");
            if head[0] != METHOD {
                continue;
            }
            let number = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
            if (number(0), number(2)) == (class, method) {
                return payload[4..].to_vec();
            }
            let said = String::from_utf8_lossy(&payload[4..]);
            assert!(!matches!(number(2), 40 | 50), "the server closes: {said}");
        }
    }
}
