//! A relay of TCP connections that can be shut: what a network that is away looks like to those behind it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A running relay on a port of its own. Dropping it cuts all connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listening: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    target: AtomicU16,
    /// Whether connections are let through.
    open: watch::Sender<bool>,
    connections: AtomicU64,
}

impl Proxy {
    /// A relay to a port on loopback.
    pub async fn start(target: u16) -> Result<Self> {
        let proxy = Self::listen().await?;
        proxy.lead_to(target);
        Ok(proxy)
    }

    /// A relay whose target is named later; until then connections are closed at once.
    pub async fn listen() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
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

    /// Names the target.
    pub fn lead_to(&self, target: u16) {
        self.shared.target.store(target, Ordering::Relaxed);
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections, and closes new ones at once.
    pub fn shut(&self) {
        self.shared.open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn open(&self) {
        self.shared.open.send_replace(true);
    }

    /// Cuts all connections once; new ones are let through.
    pub fn cut(&self) {
        self.shut();
        self.open();
    }

    /// How many connections were let through so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shut();
        self.listening.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        // Watched from here on, so that a cut right after this is not missed.
        let open = shared.open.subscribe();
        if !*open.borrow() {
            continue;
        }
        shared.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(relay(client, Arc::clone(&shared), open));
    }
}

async fn relay(mut client: TcpStream, shared: Arc<Shared>, mut open: watch::Receiver<bool>) {
    let target = shared.target.load(Ordering::Relaxed);
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        // Any change since is a cut, also one that was taken back at once.
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

    async fn answers(port: u16) -> Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let _ = stream.write_all(b"x").await;
        let mut byte = [0];
        Ok(stream.read(&mut byte).await.is_ok_and(|read| read == 1))
    }

    #[tokio::test]
    async fn a_shut_relay_lets_nothing_through_until_it_is_opened() -> Result<()> {
        let proxy = Proxy::start(echo().await?).await?;
        assert!(answers(proxy.port()).await?);
        proxy.shut();
        assert!(!answers(proxy.port()).await?);
        proxy.open();
        assert!(answers(proxy.port()).await?);
        Ok(())
    }

    #[tokio::test]
    async fn a_cut_ends_the_connections_that_are_open() -> Result<()> {
        let proxy = Proxy::start(echo().await?).await?;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await?;
        stream.write_all(b"x").await?;
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).await?, 1);
        proxy.cut();
        assert!(!stream.read(&mut byte).await.is_ok_and(|read| read > 0));
        assert!(answers(proxy.port()).await?);
        Ok(())
    }
}
