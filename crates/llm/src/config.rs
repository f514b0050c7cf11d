//! Configuration of the models, validated when [`Models`](crate::Models) is created.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// Name of the local model, stored with its vectors.
pub const LOCAL_MODEL_NAME: &str = "all-MiniLM-L6-v2";
pub const LOCAL_MODEL_FILES: [&str; 3] = ["model.safetensors", "tokenizer.json", "config.json"];
/// Maximum number of dimensions of a vector in pgvector.
const MAX_DIMENSIONS: u32 = 16_000;

/// Configuration of all models. Documents are embedded by the endpoint if it has an embedding
/// model, otherwise by the local model.
#[derive(Debug, Clone, Default)]
pub struct ModelsConfig {
    pub endpoint: Option<EndpointConfig>,
    /// The local model. It may be configured in addition to the endpoint, so that vectors that it
    /// created earlier can still be searched.
    pub local: Option<LocalConfig>,
}

#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Base URL including the version, such as `https://api.openai.com/v1`.
    pub base_url: Url,
    /// API key, sent as a bearer token. Self-hosted endpoints may need none.
    pub api_key: Option<SecretString>,
    pub embeddings: Option<EmbeddingModel>,
    /// Name of the chat model.
    pub answers: Option<String>,
    /// Limits for requests to the endpoint.
    pub quota: Quota,
}

/// Limits for the requests of this process to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Requests per minute, of all kinds.
    pub requests_per_minute: u32,
    /// Tokens per minute of texts to embed.
    pub tokens_per_minute: u32,
    /// Maximum number of concurrent embedding requests for documents. Questions are not limited.
    pub concurrency: usize,
    /// Maximum number of attempts per request.
    pub attempts: u32,
    /// Timeout for an attempt. For an answer, it applies to the first piece and to each pause
    /// between pieces.
    pub attempt_limit: Duration,
    /// Maximum wait before the second attempt. It doubles with each attempt; the actual wait is
    /// random.
    pub backoff: Duration,
}

impl Default for Quota {
    /// Half of OpenAI's limits for the lowest paid tier, so that several processes can share an
    /// account.
    fn default() -> Self {
        Self {
            requests_per_minute: 1_500,
            tokens_per_minute: 500_000,
            concurrency: 4,
            attempts: 6,
            attempt_limit: Duration::from_secs(30),
            backoff: Duration::from_millis(500),
        }
    }
}

/// An embedding model of an endpoint with everything that affects its vectors. Its text form is
/// stored with the vectors: the model's name, followed by `:512` if fewer dimensions than the
/// model's default are requested.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmbeddingModel {
    name: String,
    dimensions: u32,
}

impl EmbeddingModel {
    /// Creates a model with the number of dimensions of its vectors.
    pub fn new(name: &str, dimensions: u32) -> Result<Self, ConfigError> {
        check_name(name)?;
        if dimensions == 0 || dimensions > MAX_DIMENSIONS {
            return Err(ConfigError::Dimensions);
        }
        if native_dimensions(name).is_some_and(|native| dimensions > native) {
            return Err(ConfigError::Dimensions);
        }
        Ok(Self {
            name: name.to_owned(),
            dimensions,
        })
    }

    /// Name of the model at the endpoint.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn dimensions(&self) -> u32 {
        self.dimensions
    }

    /// Number of dimensions to request, if it differs from the model's default.
    pub(crate) fn requested_dimensions(&self) -> Option<u32> {
        native_dimensions(&self.name)
            .filter(|native| *native != self.dimensions)
            .map(|_| self.dimensions)
    }
}

impl fmt::Display for EmbeddingModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.requested_dimensions() {
            Some(dimensions) => write!(formatter, "{}:{dimensions}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

impl FromStr for EmbeddingModel {
    type Err = ConfigError;

    /// Parses a name that is stored with vectors. Only models with known dimensions can be parsed.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let (name, dimensions) = match text.rsplit_once(':') {
            Some((name, dimensions)) if is_number(dimensions) => (
                name,
                dimensions.parse().map_err(|_| ConfigError::Dimensions)?,
            ),
            _ => (
                text,
                native_dimensions(text).ok_or(ConfigError::Dimensions)?,
            ),
        };
        if native_dimensions(name).is_none() {
            return Err(ConfigError::Dimensions);
        }
        Self::new(name, dimensions)
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Default dimensions of OpenAI's models that support other dimensions.
fn native_dimensions(name: &str) -> Option<u32> {
    match name {
        "text-embedding-3-small" => Some(1_536),
        "text-embedding-3-large" => Some(3_072),
        _ => None,
    }
}

/// The local model: all-MiniLM-L6-v2 or a model of the same architecture.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Folder with [`LOCAL_MODEL_FILES`].
    pub folder: PathBuf,
    /// Maximum number of concurrent batches of documents. Questions are not limited by it.
    pub concurrency: usize,
    /// Idle time after which the model is unloaded, which frees 90 MB.
    pub idle_limit: Duration,
}

impl LocalConfig {
    /// Configures the model in this folder with one concurrent batch and an idle time of ten
    /// minutes.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self {
            folder: folder.as_ref().to_owned(),
            concurrency: 1,
            idle_limit: Duration::from_mins(10),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "no embedding model is configured; configure an endpoint with its API key, or the folder of a local model"
    )]
    NoEmbeddings,
    #[error(
        "the endpoint's URL must start with http:// or https:// and must not contain a query, user name or password"
    )]
    BaseUrl,
    #[error(
        "the endpoint's API key contains characters that are not allowed in an HTTP header, such as line breaks"
    )]
    ApiKey,
    #[error("the name of a model must be 1 to 200 printable characters without spaces")]
    ModelName,
    #[error("the embedding model does not support this number of dimensions")]
    Dimensions,
    #[error(
        "requests, tokens, concurrency, attempts and the attempt timeout must be greater than 0"
    )]
    Quota,
    #[error("the folder of the local model does not contain {0}")]
    LocalFile(&'static str),
    #[error("failed to create the HTTP client")]
    HttpClient(#[source] reqwest::Error),
}

impl EndpointConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let url = &self.base_url;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !is_plain {
            return Err(ConfigError::BaseUrl);
        }
        if let Some(key) = &self.api_key {
            let is_sendable = key
                .expose_secret()
                .bytes()
                .all(|byte| byte.is_ascii_graphic());
            if !is_sendable {
                return Err(ConfigError::ApiKey);
            }
        }
        if let Some(model) = &self.answers {
            check_name(model)?;
        }
        let quota = &self.quota;
        let is_positive = quota.requests_per_minute > 0
            && quota.tokens_per_minute > 0
            && quota.concurrency > 0
            && quota.attempts > 0
            && !quota.attempt_limit.is_zero();
        if is_positive {
            Ok(())
        } else {
            Err(ConfigError::Quota)
        }
    }
}

impl LocalConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.concurrency == 0 {
            return Err(ConfigError::Quota);
        }
        match LOCAL_MODEL_FILES
            .iter()
            .find(|file| !self.folder.join(file).is_file())
        {
            Some(missing) => Err(ConfigError::LocalFile(missing)),
            None => Ok(()),
        }
    }
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    let fits = (1..=200).contains(&name.len())
        && name
            .chars()
            .all(|character| !character.is_whitespace() && !character.is_control());
    if fits {
        Ok(())
    } else {
        Err(ConfigError::ModelName)
    }
}
