//! A scripted HTTP server that records every complete request.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use neon_client::{AccountQuota, Neon, NeonBuilder};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Chunk size of an endless body.
const CHUNK_BYTES: usize = 1 << 20;

/// How the server handles one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Sends a response.
    Response {
        status: u16,
        headers: String,
        body: String,
    },
    /// Sends half of the response body and closes the connection.
    HalfBody { status: u16, body: String },
    /// Sends a part of the status line and closes the connection.
    HalfHead,
    /// Declares a body that exceeds the client's limit and sends none of it.
    TooLong { status: u16 },
    /// Sends an endless body.
    Endless { status: u16 },
    /// Closes the connection without a response.
    Close,
    /// Never responds.
    NoResponse,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &impl ToString) -> Self {
        Self::Response {
            status,
            headers: "content-type: application/json\r\n".into(),
            body: body.to_string(),
        }
    }

    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(
            status,
            &serde_json::json!({"code": code, "message": message}),
        )
    }

    pub(crate) fn html(status: u16) -> Self {
        Self::Response {
            status,
            headers: "content-type: text/html\r\n".into(),
            body: "<html><h1>A timeout occurred</h1></html>".into(),
        }
    }

    pub(crate) fn with_headers(status: u16, headers: impl Into<String>) -> Self {
        Self::Response {
            status,
            headers: headers.into(),
            body: String::new(),
        }
    }
}

/// A complete request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
}

pub(crate) struct Server {
    address: std::net::SocketAddr,
    script: Arc<Script>,
    /// Aborted when the server is dropped.
    _tasks: JoinSet<()>,
}

impl Server {
    /// Starts a server that sends these replies in order, and 599 after the last.
    pub(crate) async fn replying(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, replies)
    }

    /// Starts a server on an existing socket.
    pub(crate) fn on(listener: TcpListener, replies: impl IntoIterator<Item = Reply>) -> Self {
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Script {
            replies: Mutex::new(replies.into_iter().collect()),
            received: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&script)));
        Self {
            address,
            script,
            _tasks: tasks,
        }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.script.received.lock().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.received().len()
    }

    pub(crate) fn builder(&self) -> NeonBuilder {
        builder_for(self.address)
    }

    pub(crate) fn neon(&self) -> Neon {
        self.builder().build().unwrap()
    }
}

/// Returns a client builder with a quota that never blocks and a short call timeout.
pub(crate) fn builder_for(address: std::net::SocketAddr) -> NeonBuilder {
    Neon::builder()
        .api_key("napi_hunter2".into())
        .base_url(format!("http://{address}/api/v2").parse().unwrap())
        .quota(AccountQuota {
            requests_per_minute: 600_000,
            per_route_per_second: 10_000,
            burst: 1_000,
        })
        .call_timeout(Duration::from_secs(10))
}

async fn serve(listener: TcpListener, script: Arc<Script>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(handle_connection(stream, Arc::clone(&script)));
    }
}

async fn handle_connection(mut stream: TcpStream, script: Arc<Script>) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        script.received.lock().push(request);
        let reply = script.replies.lock().pop_front();
        let reply =
            reply.unwrap_or_else(|| Reply::error(599, "", "the script has no more replies"));
        if !send_reply(&mut stream, reply).await {
            return;
        }
    }
}

/// Returns whether the connection stays open.
async fn send_reply(stream: &mut TcpStream, reply: Reply) -> bool {
    let head = |status, length, headers: &str| {
        format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\n{headers}\r\n")
    };
    let (text, keep_alive) = match reply {
        Reply::Response {
            status,
            headers,
            body,
        } => (head(status, body.len(), &headers) + &body, true),
        Reply::HalfBody { status, body } => {
            let half = &body[..body.len() / 2];
            (head(status, body.len(), "") + half, false)
        }
        Reply::HalfHead => ("HTTP/1.1 20".to_owned(), false),
        Reply::TooLong { status } => (head(status, usize::MAX >> 1, ""), true),
        Reply::Endless { status } => {
            let chunk = vec![b' '; CHUNK_BYTES];
            let head = format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n\r\n");
            let mut result = stream.write_all(head.as_bytes()).await;
            while result.is_ok() {
                result = stream.write_all(&chunk).await;
            }
            return false;
        }
        Reply::Close => return false,
        Reply::NoResponse => return std::future::pending().await,
    };
    stream.write_all(text.as_bytes()).await.is_ok() && keep_alive
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    loop {
        if let Some((request, length)) = parse(buffer) {
            buffer.drain(..length);
            return Some(request);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn parse(buffer: &[u8]) -> Option<(Received, usize)> {
    let text = std::str::from_utf8(buffer).ok()?;
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let mut start = lines.next()?.split(' ').map(str::to_owned);
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
        .collect();
    assert!(
        !headers.iter().any(|(key, _)| key == "transfer-encoding"),
        "requests declare their length"
    );
    let length = headers
        .iter()
        .find(|(key, _)| key == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let body = rest.get(..length)?.to_owned();
    let received = Received {
        method: start.next()?,
        target: start.next()?,
        headers,
        body,
    };
    Some((received, head.len() + 4 + length))
}
