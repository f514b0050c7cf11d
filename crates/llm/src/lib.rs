//! Embeddings and answers from an OpenAI-compatible endpoint. Embeddings can also be computed by a
//! local model.
//!
//! [`Models`] is created once from a [`ModelsConfig`]. An [`Embedder`] converts texts to vectors:
//! it splits them into batches, respects the endpoint's quota, and retries failed requests. A
//! [`ChatModel`] streams an answer. [`ModelError::retry`] tells whether a retry of a failed call
//! can help.
//!
//! Logs, traces and errors never contain texts, questions or answers. The client library
//! `async-openai` logs responses that it cannot parse, so programs must disable the log targets in
//! [`SILENCED_LOG_TARGETS`].

mod chat_model;
mod config;
mod embed;
mod endpoint;
mod error;
mod local;
mod models;
mod purpose;

pub use chat_model::{
    AnswerEvent, AnswerStream, ChatMessage, ChatModel, Completion, Finish, Usage,
};
pub use config::{
    ConfigError, EmbeddingModel, EndpointConfig, LOCAL_MODEL_FILES, LOCAL_MODEL_NAME, LocalConfig,
    ModelsConfig, Quota,
};
pub use embed::Embedder;
pub use error::{LocalModelError, ModelError, Retry};
pub use models::Models;
pub use purpose::Purpose;

/// Log targets that may contain responses of an endpoint and must be disabled.
pub const SILENCED_LOG_TARGETS: &[&str] = &["async_openai"];
