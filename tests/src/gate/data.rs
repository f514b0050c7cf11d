//! A relay of database connections that counts what the client sends: each flush, from the first word after sign-in on, may
//! change something.
//!
//! The connections are encrypted, so a flush is told by turns: whatever the client writes after the server spoke last.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::{Cut, Gate, Passage};

/// Turns of the client before anything can be changed: the question for TLS, its hello, its end with the startup message,
/// and two of SCRAM.
const SIGN_IN_TURNS: usize = 5;
const BUFFER_BYTES: usize = 64 * 1024;

/// A running relay. Dropping it stops it.
pub struct DataRelay {
    port: u16,
    target: Arc<AtomicU16>,
    listening: AbortHandle,
}

impl DataRelay {
    /// A relay on a port of its own; [`DataRelay::lead_to`] names the target.
    pub async fn start(gate: Gate) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let target = Arc::new(AtomicU16::new(0));
        let listening = tokio::spawn(accept(listener, gate, Arc::clone(&target))).abort_handle();
        Ok(Self {
            port,
            target,
            listening,
        })
    }

    /// Names the port on loopback that connections are led to.
    pub fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for DataRelay {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn accept(listener: TcpListener, gate: Gate, target: Arc<AtomicU16>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let (gate, port) = (gate.clone(), target.load(Ordering::Relaxed));
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
                return;
            };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let _ = relay(client, server, &gate).await;
            // A connection that was cut off stays open, and silent, until its client is gone.
        });
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, gate: &Gate) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let (mut turns, mut server_spoke_last, mut cut) = (0, true, None);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let read = read?;
                if read == 0 {
                    // It said goodbye, and waits for no answer.
                    if cut.is_some() {
                        gate.shut();
                    }
                    return Ok(());
                }
                if std::mem::take(&mut server_spoke_last) {
                    turns += 1;
                    let passage = match turns {
                        ..=SIGN_IN_TURNS if gate.is_shut() => Passage::Shut,
                        ..=SIGN_IN_TURNS => Passage::Through,
                        turn => gate.effect(&format!("database flush {}", turn - SIGN_IN_TURNS)),
                    };
                    match passage {
                        Passage::Through => {}
                        Passage::Cut(at) => cut = Some(at),
                        Passage::Shut => gate.attempted(),
                    }
                }
                if gate.is_shut() {
                    return until_opened(gate).await;
                }
                server.write_all(&asked[..read]).await?;
            }
            read = server.read(&mut answered) => {
                let read = read?;
                server_spoke_last = true;
                let last = cut.take();
                if gate.is_shut() {
                    return until_opened(gate).await;
                }
                // What is not held back goes on, the end of the connection too.
                if last != Some(Cut::BeforeAnswer) {
                    if read == 0 {
                        client.shutdown().await?;
                    } else {
                        client.write_all(&answered[..read]).await?;
                    }
                }
                if last.is_some() {
                    gate.shut();
                    return until_opened(gate).await;
                }
                if read == 0 {
                    return Ok(());
                }
            }
        }
    }
}

async fn until_opened(gate: &Gate) -> std::io::Result<()> {
    gate.opened().await;
    Ok(())
}
