//! A deterministic OpenAI-compatible endpoint for tests and demos. It has no model: texts that
//! share words have similar vectors, and answers quote the passages in the prompt, with citations.
//!
//! It validates requests as strictly as OpenAI's API (fields, models, limits, API keys), can be
//! made to fail like the real API ([`Fault`]), and counts requests ([`Counts`]).

mod api_error;
mod chat;
mod embeddings;
mod fault;
mod hash_embedding;
mod request;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use parking_lot::{Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use api_error::ApiError;
use fault::Faults;
pub use fault::{Fault, Route};
pub use hash_embedding::vector;

/// Maximum size of a request body, enough for 2,048 texts of a chunk's size.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct Config {
    /// Required API key. If `None`, requests need no key.
    pub api_key: Option<String>,
    /// Embedding models with the default dimensions of their vectors.
    pub embedding_models: Vec<(String, usize)>,
    pub chat_models: Vec<String>,
    /// Delay between two pieces of an answer.
    pub piece_delay: Duration,
    /// Port on the loopback interface. 0 selects a free port.
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Embedding requests, including rejected ones.
    pub embedding_requests: usize,
    pub texts: usize,
    /// Chat requests, including rejected ones.
    pub chat_requests: usize,
    /// Answers that were sent completely.
    pub answers: usize,
    /// Maximum number of concurrent embedding requests.
    pub max_concurrent_embedding_requests: usize,
}

/// A running stub. Dropping it stops the server.
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
    /// Messages of the last chat request, with their roles.
    last_messages: Mutex<Vec<(String, String)>>,
}

impl Stub {
    /// Starts a stub on the loopback interface.
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            config,
            faults: Faults::default(),
            counts: Mutex::default(),
            last_messages: Mutex::default(),
        });
        let routes = Router::new()
            .route("/v1/embeddings", post(embeddings::create))
            .route("/v1/chat/completions", post(chat::create))
            .route("/v1/models", get(models))
            .fallback(unknadmin_url)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(shared.clone());
        let server = tokio::spawn(async move {
            // The task ends when the stub is dropped; `serve` returns no error before.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Makes the next request to this route fail. Repeated calls queue faults.
    pub fn fail_next(&self, route: Route, fault: Fault) {
        self.shared.faults.push(route, fault);
    }

    /// Makes all requests to this route fail after the faults of [`Stub::fail_next`]. `None` stops
    /// this.
    pub fn fail_always(&self, route: Route, fault: Option<Fault>) {
        self.shared.faults.always(route, fault);
    }

    pub fn counts(&self) -> Counts {
        self.shared.counts().0
    }

    /// The messages of the last valid chat request, each with its role.
    pub fn last_messages(&self) -> Vec<(String, String)> {
        self.shared.last_messages.lock().clone()
    }

    /// Serves until the stub is dropped.
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
        self.counts.lock()
    }

    fn record(&self, messages: Option<&serde_json::Value>) {
        let text = |message: &serde_json::Value, field: &str| {
            message[field].as_str().unwrap_or_default().to_owned()
        };
        let messages = messages.and_then(serde_json::Value::as_array);
        *self.last_messages.lock() = messages
            .into_iter()
            .flatten()
            .map(|message| (text(message, "role"), text(message, "content")))
            .collect();
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(key) = &self.config.api_key else {
            return Ok(());
        };
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        match given {
            Some(given) if given == key => Ok(()),
            Some(_) => Err(ApiError::wrong_key()),
            None => Err(ApiError::no_key()),
        }
    }
}

async fn models(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    shared.authorize(&headers)?;
    let embedding = shared.config.embedding_models.iter().map(|(name, _)| name);
    let data: Vec<_> = embedding
        .chain(&shared.config.chat_models)
        .map(|name| serde_json::json!({"id": name, "object": "model", "created": 0, "owned_by": "stub"}))
        .collect();
    Ok(api_error::json(
        200,
        &serde_json::json!({"object": "list", "data": data}),
    ))
}

async fn unknadmin_url(uri: Uri) -> ApiError {
    ApiError::unknadmin_url(uri.path())
}
