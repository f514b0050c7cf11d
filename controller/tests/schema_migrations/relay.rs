//! A relay in front of PostgreSQL that counts the messages with SQL and interrupts the connection
//! at one of them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What happens at message number N. Messages are counted from 1 over all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    Never,
    /// The message is lost.
    BeforeSent(usize),
    /// The message is delivered, and both connections close immediately.
    WhenSent(usize),
    /// The message is executed, and its response is lost.
    WhenDone(usize),
    /// The message is delivered, and its response is held back until the client disconnects.
    HoldResponse(usize),
    /// The server runs `COMMIT; BEGIN` before the message, unknown to the client.
    NewTransaction(usize),
    /// The server runs `COMMIT` at the end of the message.
    Commit(usize),
}

pub(crate) struct Relay {
    port: u16,
    messages: Arc<AtomicUsize>,
    response_held: Arc<Notify>,
}

impl Relay {
    pub(crate) async fn start(server_port: u16, interruption: Interruption) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("bound a port");
        let port = listener
            .local_addr()
            .expect("the listener has an address")
            .port();
        let relay = Self {
            port,
            messages: Arc::default(),
            response_held: Arc::default(),
        };
        let messages = Arc::clone(&relay.messages);
        let response_held = Arc::clone(&relay.response_held);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let messages = Arc::clone(&messages);
                let response_held = Arc::clone(&response_held);
                tokio::spawn(async move {
                    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port))
                        .await
                        .expect("connected to PostgreSQL");
                    // An error means that one end disconnected, which the tests expect.
                    let _ =
                        relay_one(client, server, interruption, &messages, &response_held).await;
                });
            }
        });
        relay
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The number of messages with SQL so far.
    pub(crate) fn messages(&self) -> usize {
        self.messages.load(Ordering::SeqCst)
    }

    /// Waits until a response is held back.
    pub(crate) async fn response_held(&self) {
        self.response_held.notified().await;
    }
}

async fn relay_one(
    mut client: TcpStream,
    mut server: TcpStream,
    interruption: Interruption,
    messages: &AtomicUsize,
    response_held: &Notify,
) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (hold_responses, done) = (AtomicBool::new(false), Notify::new());
    let skip_responses = AtomicBool::new(false);

    let responses = async {
        loop {
            let message = read_message(&mut from_server).await?;
            if skip_responses.load(Ordering::SeqCst) {
                if message.first() == Some(&b'Z') {
                    skip_responses.store(false, Ordering::SeqCst);
                    done.notify_one();
                }
            } else if !hold_responses.load(Ordering::SeqCst) {
                to_client.write_all(&message).await?;
            } else if message.first() == Some(&b'Z') {
                done.notify_one();
            }
        }
    };
    let requests = async {
        // The startup message has no type byte: its length, then the rest.
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
            if interruption == Interruption::BeforeSent(number) {
                return Ok(());
            }
            if interruption == Interruption::WhenDone(number)
                || interruption == Interruption::HoldResponse(number)
            {
                hold_responses.store(true, Ordering::SeqCst);
            }
            if interruption == Interruption::NewTransaction(number) {
                skip_responses.store(true, Ordering::SeqCst);
                to_server.write_all(&query("COMMIT; BEGIN")).await?;
                done.notified().await;
            }
            if interruption == Interruption::Commit(number) {
                // In the same message, so that the client gets one response.
                let text = String::from_utf8_lossy(&message[5..message.len() - 1]).into_owned();
                to_server
                    .write_all(&query(&format!("{text};COMMIT")))
                    .await?;
                continue;
            }
            to_server.write_all(&message).await?;
            if interruption == Interruption::WhenSent(number) {
                return Ok(());
            }
            if interruption == Interruption::WhenDone(number) {
                done.notified().await;
                return Ok(());
            }
            if interruption == Interruption::HoldResponse(number) {
                response_held.notify_one();
            }
        }
    };
    // If either end disconnects, both connections end.
    tokio::select! { ended = responses => ended, ended = requests => ended }
}

fn query(sql: &str) -> Vec<u8> {
    let length = u32::try_from(sql.len() + 5).expect("fits");
    [b"Q", &length.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat()
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
