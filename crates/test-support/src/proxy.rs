//! A TCP proxy that can block its connections, to simulate a network outage.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A running proxy with its own port. Dropping it closes all connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<ProxyState>,
    listening: AbortHandle,
}

#[derive(Debug)]
struct ProxyState {
    target: AtomicU16,
    /// Whether connections are forwarded.
    open: watch::Sender<bool>,
    connections: AtomicU64,
}

impl Proxy {
    /// A proxy to a port on loopback.
    pub async fn start(target: u16) -> Result<Self> {
        let proxy = Self::listen().await?;
        proxy.set_target(target);
        Ok(proxy)
    }

    /// A proxy without a target. It closes connections until [`Proxy::set_target`] is called.
    pub async fn listen() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(ProxyState {
            target: AtomicU16::new(0),
            open: watch::Sender::new(true),
            connections: AtomicU64::new(0),
        });
        let listening = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            port,
            shared,
            listening,
        })
    }

    pub fn set_target(&self, target: u16) {
        self.shared.target.store(target, Ordering::Relaxed);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Closes all connections, and closes new ones immediately.
    pub fn block(&self) {
        self.shared.open.send_replace(false);
    }

    /// Forwards connections again.
    pub fn unblock(&self) {
        self.shared.open.send_replace(true);
    }

    /// Closes all current connections; new ones are forwarded.
    pub fn drop_connections(&self) {
        self.block();
        self.unblock();
    }

    /// The number of connections that were forwarded so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.block();
        self.listening.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<ProxyState>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        // Subscribes before the check, so that no later change is missed.
        let open = shared.open.subscribe();
        if !*open.borrow() {
            continue;
        }
        shared.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(relay(client, Arc::clone(&shared), open));
    }
}

async fn relay(mut client: TcpStream, shared: Arc<ProxyState>, mut open: watch::Receiver<bool>) {
    let target = shared.target.load(Ordering::Relaxed);
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        // Any change closes the connection, even one that was reverted immediately.
        _ = open.changed() => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn echo() -> Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        Ok(port)
    }

    async fn responds(port: u16) -> Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let _ = stream.write_all(b"x").await;
        let mut byte = [0];
        Ok(stream.read(&mut byte).await.is_ok_and(|read| read == 1))
    }

    #[tokio::test]
    async fn a_blocked_proxy_forwards_nothing_until_it_is_unblocked() -> Result<()> {
        let proxy = Proxy::start(echo().await?).await?;
        assert!(responds(proxy.port()).await?);
        proxy.block();
        assert!(!responds(proxy.port()).await?);
        proxy.unblock();
        assert!(responds(proxy.port()).await?);
        Ok(())
    }

    #[tokio::test]
    async fn dropping_connections_closes_the_open_ones_only() -> Result<()> {
        let proxy = Proxy::start(echo().await?).await?;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await?;
        stream.write_all(b"x").await?;
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).await?, 1);
        proxy.drop_connections();
        assert!(!stream.read(&mut byte).await.is_ok_and(|read| read > 0));
        assert!(responds(proxy.port()).await?);
        Ok(())
    }
}
