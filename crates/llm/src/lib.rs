//! Embeddings and answers: from an OpenAI-compatible endpoint, or, for embeddings, from a model on this machine.
//!
//! [`Models`] is made once from a checked [`ModelsConfig`]. An [`Embedder`] turns texts into vectors, however many there are: it cuts them
//! into batches, keeps to the endpoint's quota and tries again what may succeed. An [`Answerer`] streams one answer. Every error says in
//! words what happened and whether trying again can help ([`ModelError::retry`]).
//!
//! Texts, questions and answers appear in no log line, trace or error. `async-openai`, which speaks to the endpoint, would log an answer
//! that it cannot read: whoever sets up logging silences [`SILENCED_LOG_TARGETS`].

mod answer;
mod config;
mod embed;
mod endpoint;
mod error;
mod local;
mod models;

pub use answer::{AnswerEvent, AnswerStream, Answerer, Finish, Usage};
pub use config::{
    ConfigError, EmbeddingModel, EndpointConfig, LOCAL_MODEL_FILES, LOCAL_MODEL_NAME, LocalConfig,
    ModelsConfig, Quota,
};
pub use embed::{Embedder, Purpose};
pub use error::{LocalModelError, ModelError, Retry};
pub use models::Models;

/// Log targets that quote what an endpoint sent and so must be switched off wherever logs are kept.
pub const SILENCED_LOG_TARGETS: &[&str] = &["async_openai"];
