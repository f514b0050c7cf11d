//! A server on a real socket that answers what a test tells it to, and remembers every request that arrived whole.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use neon_client::{AccountQuota, Neon, NeonBuilder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What a body without an end is sent in.
const PIECE_BYTES: usize = 1 << 20;

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers.
    Answer {
        status: u16,
        headers: String,
        body: String,
    },
    /// Answers half, and closes.
    Half { status: u16, body: String },
    /// Begins an answer, and closes within its head.
    HalfHead,
    /// Says that its body is longer than any answer should be, and sends none of it.
    TooLong { status: u16 },
    /// Answers with a body that does not end.
    Endless { status: u16 },
    /// Closes without an answer.
    Close,
    /// Never answers.
    Silence,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &impl ToString) -> Self {
        Self::Answer {
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
        Self::Answer {
            status,
            headers: "content-type: text/html\r\n".into(),
            body: "<html><h1>A timeout occurred</h1></html>".into(),
        }
    }

    pub(crate) fn with_headers(status: u16, headers: impl Into<String>) -> Self {
        Self::Answer {
            status,
            headers: headers.into(),
            body: String::new(),
        }
    }
}

/// A request that arrived whole.
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
    /// Ends with the server.
    _tasks: JoinSet<()>,
}

impl Server {
    /// A server that gives these replies in turn, and 599 after the last.
    pub(crate) async fn replying(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, replies)
    }

    /// The same on a socket that is there.
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
        self.script.received.lock().unwrap().clone()
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

/// A client of that address, with a quota that does not matter and a deadline that a test can wait for.
pub(crate) fn builder_for(address: std::net::SocketAddr) -> NeonBuilder {
    Neon::builder()
        .api_key("napi_hunter2".into())
        .base_url(format!("http://{address}/api/v2").parse().unwrap())
        .quota(AccountQuota {
            requests_per_minute: 600_000,
            per_route_per_second: 10_000,
            burst: 1_000,
        })
        .call_deadline(Duration::from_secs(10))
}

async fn serve(listener: TcpListener, script: Arc<Script>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, Arc::clone(&script)));
    }
}

async fn converse(mut stream: TcpStream, script: Arc<Script>) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        script.received.lock().unwrap().push(request);
        let reply = script.replies.lock().unwrap().pop_front();
        let reply =
            reply.unwrap_or_else(|| Reply::error(599, "", "the script has no more replies"));
        if !answer(&mut stream, reply).await {
            return;
        }
    }
}

/// Says whether the connection goes on.
async fn answer(stream: &mut TcpStream, reply: Reply) -> bool {
    let head = |status, length, headers: &str| {
        format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n{headers}\r\n")
    };
    let (text, goes_on) = match reply {
        Reply::Answer {
            status,
            headers,
            body,
        } => (head(status, body.len(), &headers) + &body, true),
        Reply::Half { status, body } => {
            let half = &body[..body.len() / 2];
            (head(status, body.len(), "") + half, false)
        }
        Reply::HalfHead => ("HTTP/1.1 20".to_owned(), false),
        Reply::TooLong { status } => (head(status, usize::MAX >> 1, ""), true),
        Reply::Endless { status } => {
            let piece = vec![b' '; PIECE_BYTES];
            let head = format!("HTTP/1.1 {status} Told\r\nconnection: close\r\n\r\n");
            let mut going = stream.write_all(head.as_bytes()).await;
            while going.is_ok() {
                going = stream.write_all(&piece).await;
            }
            return false;
        }
        Reply::Close => return false,
        Reply::Silence => return std::future::pending().await,
    };
    stream.write_all(text.as_bytes()).await.is_ok() && goes_on
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
        "requests say how long they are"
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
