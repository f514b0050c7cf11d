//! A deterministic OpenAI-compatible endpoint for tests and for trying the product out: no model, and yet texts that share words are near
//! each other, and answers are taken from the passages that were given, with citations.
//!
//! It checks requests as strictly as OpenAI's API does (fields, models, limits, keys), it can be told to fail in every way that the
//! real one does ([`Fault`]), and it counts what it was asked ([`Counts`]).

mod chat;
mod embeddings;
mod fault;
mod opening;
mod refusal;
mod words;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use fault::Faults;
pub use fault::{Fault, Route};
use refusal::Refusal;
pub use words::vector;

/// The largest body that is read: more than 2,048 texts of a chunk's size.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the endpoint knows.
#[derive(Debug, Clone)]
pub struct Config {
    /// The key that requests must bear; `None`: any, or none.
    pub api_key: Option<String>,
    /// Embedding models, and how many dimensions their vectors have by nature.
    pub embedding_models: Vec<(String, usize)>,
    /// Models that answer.
    pub chat_models: Vec<String>,
    /// Time between two pieces of an answer.
    pub piece_delay: Duration,
    /// Where it listens on the loopback interface; 0: anywhere.
    pub port: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            api_key: None,
            embedding_models: vec![
                ("text-embedding-3-small".to_owned(), 1_536),
                ("text-embedding-3-large".to_owned(), 3_072),
            ],
            chat_models: vec!["gpt-4o-mini".to_owned()],
            piece_delay: Duration::ZERO,
            port: 0,
        }
    }
}

/// What was asked so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests for embeddings, refused ones included.
    pub embedding_requests: usize,
    /// Texts that were embedded.
    pub texts: usize,
    /// Requests for answers, refused ones included.
    pub chat_requests: usize,
    /// Answers whose stream was sent to its end.
    pub answers: usize,
    /// The most requests for embeddings that were under way at once.
    pub embedding_requests_at_once: usize,
}

/// A running endpoint. It stops when it is dropped.
#[derive(Debug)]
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    faults: Faults,
    counts: Mutex<(Counts, usize)>,
}

impl Stub {
    /// Starts one on the loopback interface.
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            config,
            faults: Faults::default(),
            counts: Mutex::default(),
        });
        let routes = Router::new()
            .route("/v1/embeddings", post(embeddings::create))
            .route("/v1/chat/completions", post(chat::create))
            .route("/v1/models", get(models))
            .fallback(unknown_url)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(shared.clone());
        let server = tokio::spawn(async move {
            // Ends with the task: it has no errors of its own.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// What clients call its base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next request to this route fails so; told again, the one after it.
    pub fn fail_next(&self, route: Route, fault: Fault) {
        self.shared.faults.push(route, fault);
    }

    /// From now on every request to this route fails so, behind those of [`Stub::fail_next`]; `None`: no more.
    pub fn fail_always(&self, route: Route, fault: Option<Fault>) {
        self.shared.faults.always(route, fault);
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        self.shared.counts().0
    }

    /// Waits until it is stopped, which is never for itself.
    pub async fn serve(mut self) {
        let _ = (&mut self.server).await;
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, (Counts, usize)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authorise(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(key) = &self.config.api_key else {
            return Ok(());
        };
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        match given {
            Some(given) if given == key => Ok(()),
            Some(_) => Err(Refusal::wrong_key()),
            None => Err(Refusal::no_key()),
        }
    }
}

async fn models(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    shared.authorise(&headers)?;
    let embedding = shared.config.embedding_models.iter().map(|(name, _)| name);
    let data: Vec<_> = embedding
        .chain(&shared.config.chat_models)
        .map(|name| serde_json::json!({"id": name, "object": "model", "created": 0, "owned_by": "stub"}))
        .collect();
    Ok(refusal::json(
        200,
        &serde_json::json!({"object": "list", "data": data}),
    ))
}

async fn unknown_url(uri: Uri) -> Refusal {
    Refusal::unknown_url(uri.path())
}
