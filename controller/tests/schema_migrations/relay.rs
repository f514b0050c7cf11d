//! A relay before PostgreSQL that understands where messages begin, counts those that carry SQL, and cuts the connection at one
//! of them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What happens at the chosen message, counted from 1 over the first connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Never,
    /// It is lost on the way.
    BeforeSent(usize),
    /// It arrives; both ends see the connection go at once.
    WhenSent(usize),
    /// It is carried out; its answer is lost.
    WhenDone(usize),
    /// It arrives; its answer is kept back until the client goes away.
    HoldAnswer(usize),
}

pub(crate) struct Relay {
    port: u16,
    messages: Arc<AtomicUsize>,
    held: Arc<Notify>,
}

impl Relay {
    pub(crate) async fn start(server_port: u16, cut: Cut) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let relay = Self {
            port,
            messages: Arc::default(),
            held: Arc::default(),
        };
        let (messages, held) = (Arc::clone(&relay.messages), Arc::clone(&relay.held));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (messages, held) = (Arc::clone(&messages), Arc::clone(&held));
                tokio::spawn(async move {
                    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port))
                        .await
                        .expect("PostgreSQL is there");
                    // An error is one end going away, which is what this is about.
                    let _ = relay_one(client, server, cut, &messages, &held).await;
                });
            }
        });
        relay
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many messages with SQL came by.
    pub(crate) fn messages(&self) -> usize {
        self.messages.load(Ordering::SeqCst)
    }

    /// Waits until an answer is kept back.
    pub(crate) async fn held(&self) {
        self.held.notified().await;
    }
}

async fn relay_one(
    mut client: TcpStream,
    mut server: TcpStream,
    cut: Cut,
    messages: &AtomicUsize,
    held: &Notify,
) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (keep_back, done) = (AtomicBool::new(false), Notify::new());

    let answers = async {
        loop {
            let message = read_message(&mut from_server).await?;
            if !keep_back.load(Ordering::SeqCst) {
                to_client.write_all(&message).await?;
            } else if message.first() == Some(&b'Z') {
                done.notify_one();
            }
        }
    };
    let requests = async {
        // The first message has no type: its length, then the rest.
        let mut length = [0; 4];
        from_client.read_exact(&mut length).await?;
        let mut rest = vec![0; body_length(length)];
        from_client.read_exact(&mut rest).await?;
        to_server.write_all(&[&length[..], &rest].concat()).await?;
        loop {
            let message = read_message(&mut from_client).await?;
            let number = if is_sql(&message) {
                messages.fetch_add(1, Ordering::SeqCst) + 1
            } else {
                0
            };
            if cut == Cut::BeforeSent(number) {
                return Ok(());
            }
            if cut == Cut::WhenDone(number) || cut == Cut::HoldAnswer(number) {
                keep_back.store(true, Ordering::SeqCst);
            }
            to_server.write_all(&message).await?;
            if cut == Cut::WhenSent(number) {
                return Ok(());
            }
            if cut == Cut::WhenDone(number) {
                done.notified().await;
                return Ok(());
            }
            if cut == Cut::HoldAnswer(number) {
                held.notify_one();
            }
        }
    };
    // Either end going away ends both.
    tokio::select! { ended = answers => ended, ended = requests => ended }
}

fn is_sql(message: &[u8]) -> bool {
    matches!(message.first(), Some(b'Q' | b'P' | b'E'))
}

fn body_length(length: [u8; 4]) -> usize {
    usize::try_from(u32::from_be_bytes(length)).expect("fits") - 4
}

async fn read_message(from: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut head = [0; 5];
    from.read_exact(&mut head).await?;
    let mut message = head.to_vec();
    message.resize(1 + 4 + body_length([head[1], head[2], head[3], head[4]]), 0);
    from.read_exact(&mut message[5..]).await?;
    Ok(message)
}
