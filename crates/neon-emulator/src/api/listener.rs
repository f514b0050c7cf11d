//! A TCP listener whose connections a handler can drop, to simulate lost responses.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Drops a request's connection before any part of the response is written.
#[derive(Debug, Clone, Default)]
pub(super) struct DisconnectHandle(Arc<AtomicBool>);

impl DisconnectHandle {
    pub(super) fn disconnect(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_disconnected(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn check(&self) -> io::Result<()> {
        if self.is_disconnected() {
            Err(io::ErrorKind::ConnectionReset.into())
        } else {
            Ok(())
        }
    }
}

/// A TCP listener whose connections have a [`DisconnectHandle`].
#[derive(Debug)]
pub(super) struct DisconnectableListener(pub(super) TcpListener);

#[derive(Debug)]
pub(super) struct DisconnectableStream {
    stream: TcpStream,
    handle: DisconnectHandle,
}

impl Listener for DisconnectableListener {
    type Io = DisconnectableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DisconnectableStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Responses are small and written in one piece, so Nagle's algorithm would only add delay.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY on an API connection");
        }
        (
            DisconnectableStream {
                stream,
                handle: DisconnectHandle::default(),
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, DisconnectableListener>> for DisconnectHandle {
    fn connect_info(stream: IncomingStream<'_, DisconnectableListener>) -> Self {
        stream.io().handle.clone()
    }
}

impl AsyncRead for DisconnectableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.handle.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for DisconnectableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.handle.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.handle.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.handle.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
