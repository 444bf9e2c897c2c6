//! What the broker sends, made readable for the client library.
//!
//! AMQP 0-9-1 does not say that a short string (a message-id, a routing key, the name of a header) is UTF-8, and RabbitMQ
//! does not look. The client library takes one that is not for a fault of the connection, which then falls again with
//! each redelivery of that message, and everything else on the connection with it. It also reads tables within tables
//! by recursion, as deep as somebody cares to nest them. So its socket is wrapped: in the frames that describe a
//! message, bytes of a short string that are not UTF-8 become `?`, and what is nested too deep becomes opaque bytes
//! ([`frame`]). Frames keep their length, and bodies are not touched.

mod frame;

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_rs::{Runtime, Tokio, TokioRuntime, traits::Reactor, util::RuntimeParts};
use futures_util::{
    Stream,
    io::{AsyncRead, AsyncWrite},
};
use lapin::AsyncTcpStream;
use tokio::runtime::Handle;

/// How much is read from the socket at a time, at least.
const CHUNK: usize = 64 * 1024;

/// The longest frame that is looked into. The broker's frames have at most 128 KiB unless its settings say otherwise.
const LONGEST: usize = 1024 * 1024;

/// The runtime that the client library is given: its tasks run by a handle, and its sockets are readable ones.
pub(super) type ReadableRuntime = Runtime<RuntimeParts<Tokio, Sockets>>;

/// A socket, with TLS or without.
type Socket = AsyncTcpStream<<TokioRuntime as Reactor>::TcpStream>;

/// The runtime of the client library, on that of the handle.
pub(super) fn readable_runtime(handle: Handle) -> ReadableRuntime {
    let tokio = Tokio::default().with_handle(handle.clone());
    let sockets = Sockets(TokioRuntime::tokio_with_handle(handle));
    Runtime::new(RuntimeParts::new(tokio, sockets))
}

/// Makes sockets whose frames the client library can read.
#[derive(Debug, Clone)]
pub(super) struct Sockets(TokioRuntime);

impl Reactor for Sockets {
    type TcpStream = Readable<Socket>;
    type Sleep = <TokioRuntime as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        // The client library makes its sockets by `tcp_connect_addr` or takes ours.
        Err::<Readable<Socket>, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async { Ok(Readable::new(AsyncTcpStream::Plain(connecting.await?))) }
    }
}

/// A stream of AMQP frames on its way from the broker; what is written passes through.
pub(super) struct Readable<S> {
    stream: S,
    /// What has been read, from `start` to `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Up to where it may be handed on.
    checked: usize,
    /// How many bytes of the frame beyond that need no look.
    unseen: usize,
}

impl<S> Readable<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), start: 0, end: 0, checked: 0, unseen: 0 }
    }

    /// Looks at the frames that have come in, up to the first that is not complete.
    fn check(&mut self) {
        while self.checked < self.end {
            let rest = &mut self.buffer[self.checked..self.end];
            if self.unseen > 0 {
                let passed = self.unseen.min(rest.len());
                self.unseen -= passed;
                self.checked += passed;
                continue;
            }
            match frame::length(rest) {
                None => return,
                Some(length) if !frame::is_described(rest[0]) || length > LONGEST => {
                    self.unseen = length;
                }
                Some(length) => {
                    let Some(whole) = rest.get_mut(..length) else { return };
                    frame::make_readable(whole);
                    self.checked += length;
                }
            }
        }
    }

    /// Makes room behind what has come in.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.checked -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < self.end + CHUNK {
            self.buffer.resize(self.end + CHUNK, 0);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Readable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        while this.start == this.checked {
            this.make_room();
            let room = &mut this.buffer[this.end..];
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, room))?;
            if read == 0 {
                // What is left is no frame; the client library says what it thinks of it.
                this.checked = this.end;
                break;
            }
            this.end += read;
            this.check();
        }
        let length = target.len().min(this.checked - this.start);
        target[..length].copy_from_slice(&this.buffer[this.start..this.start + length]);
        this.start += length;
        Poll::Ready(Ok(length))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Readable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{AsyncReadExt as _, io::Cursor};

    use super::*;

    /// Gives out a few bytes at a time.
    struct InPieces(Cursor<Vec<u8>>, usize);

    impl AsyncRead for InPieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            target: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let length = target.len().min(self.1);
            Pin::new(&mut self.0).poll_read(cx, &mut target[..length])
        }
    }

    #[tokio::test]
    async fn frames_are_the_same_in_whatever_pieces_they_come() {
        let bad = frame::tests::header_with_message_id(b"id \xff");
        let good = frame::tests::header_with_message_id(b"id ?");
        let body = [&[3, 0, 1, 0, 0, 0, 3][..], b"\xff\xfe\xfd", &[206]].concat();
        let (sent, expected) = ([&*bad, &body, &bad].concat(), [&*good, &body, &good].concat());
        for size in [1, 2, 3, 7, 8, 64, 4096] {
            let mut stream = Readable::new(InPieces(Cursor::new(sent.clone()), size));
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, expected, "in pieces of {size}");
        }
    }
}
