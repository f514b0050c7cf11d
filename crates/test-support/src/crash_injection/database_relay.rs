//! A relay for database connections that counts the client's flushes after authentication as
//! effects, because each may change something.
//!
//! The connections are encrypted, so a flush is recognized by turns: it is what the client writes
//! after the server has written.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::{Action, CrashInjector, CrashTiming};

/// The client's turns before it can change anything: `SSLRequest`, the TLS hello, the TLS finish
/// with the startup message, and two SCRAM messages.
const AUTHENTICATION_TURNS: usize = 5;
const BUFFER_BYTES: usize = 64 * 1024;

/// A running relay. Dropping it stops the relay.
pub struct DatabaseRelay {
    port: u16,
    target: Arc<AtomicU16>,
    listening: AbortHandle,
}

impl DatabaseRelay {
    /// A relay with its own port, whose target is set by [`DatabaseRelay::set_target`].
    pub async fn start(injector: CrashInjector) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let target = Arc::new(AtomicU16::new(0));
        let listening =
            tokio::spawn(accept(listener, injector, Arc::clone(&target))).abort_handle();
        Ok(Self {
            port,
            target,
            listening,
        })
    }

    /// Sets the port on loopback that connections are forwarded to.
    pub fn set_target(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for DatabaseRelay {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn accept(listener: TcpListener, injector: CrashInjector, target: Arc<AtomicU16>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let (injector, port) = (injector.clone(), target.load(Ordering::Relaxed));
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
                return;
            };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            // A blocked connection stays open without traffic until its client is dead.
            let _ = relay(client, server, &injector).await;
        });
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    injector: &CrashInjector,
) -> std::io::Result<()> {
    let (mut request, mut response) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let (mut turns, mut server_wrote_last, mut interrupt) = (0, true, None);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let read = read?;
                if read == 0 {
                    // The client closed the connection and expects no response.
                    if interrupt.is_some() {
                        injector.block();
                    }
                    return Ok(());
                }
                if std::mem::take(&mut server_wrote_last) {
                    turns += 1;
                    let action = match turns {
                        ..=AUTHENTICATION_TURNS if injector.is_blocked() => Action::Block,
                        ..=AUTHENTICATION_TURNS => Action::Forward,
                        turn => injector
                            .on_effect(&format!("database flush {}", turn - AUTHENTICATION_TURNS)),
                    };
                    match action {
                        Action::Forward => {}
                        Action::Interrupt(timing) => interrupt = Some(timing),
                        Action::Block => injector.record_attempt(),
                    }
                }
                if injector.is_blocked() {
                    injector.unblocked().await;
                    return Ok(());
                }
                server.write_all(&request[..read]).await?;
            }
            read = server.read(&mut response) => {
                let read = read?;
                server_wrote_last = true;
                let last = interrupt.take();
                if injector.is_blocked() {
                    injector.unblocked().await;
                    return Ok(());
                }
                // Forwards the response, or the end of the connection, unless it is suppressed.
                if last != Some(CrashTiming::BeforeResponse) {
                    if read == 0 {
                        client.shutdown().await?;
                    } else {
                        client.write_all(&response[..read]).await?;
                    }
                }
                if last.is_some() {
                    injector.block();
                    injector.unblocked().await;
                    return Ok(());
                }
                if read == 0 {
                    return Ok(());
                }
            }
        }
    }
}
