//! Which models there are and how they are reached, checked when it is made.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// What the model on this machine is called wherever vectors are kept.
pub const LOCAL_MODEL_NAME: &str = "all-MiniLM-L6-v2";
/// The files that its folder holds.
pub const LOCAL_MODEL_FILES: [&str; 3] = ["model.safetensors", "tokenizer.json", "config.json"];
/// Vectors of more dimensions than pgvector can keep are of no use.
const DIMENSIONS_MAX: u32 = 16_000;

/// Everything there is. Documents are embedded by the endpoint if it has a model for that, else on this machine.
#[derive(Debug, Clone, Default)]
pub struct ModelsConfig {
    /// An OpenAI-compatible endpoint.
    pub endpoint: Option<EndpointConfig>,
    /// The model on this machine. It may stand beside the endpoint: vectors that it once made then still serve.
    pub local: Option<LocalConfig>,
}

/// An OpenAI-compatible endpoint.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Up to and with its version, such as `https://api.openai.com/v1`.
    pub base_url: Url,
    /// Sent as a bearer token. Endpoints of one's own may want none.
    pub api_key: Option<SecretString>,
    /// The model for embeddings, if it has one.
    pub embeddings: Option<EmbeddingModel>,
    /// The model for answers, if it has one.
    pub answers: Option<String>,
    /// How much may be asked of it.
    pub quota: Quota,
}

/// How much may be asked of an endpoint by this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Requests a minute, of all kinds.
    pub requests_per_minute: u32,
    /// Tokens a minute of texts to embed.
    pub tokens_per_minute: u32,
    /// Requests for embeddings of documents under way at once. Questions do not wait for them.
    pub concurrency: usize,
    /// How often a request is sent at most, the first time included.
    pub attempts: u32,
    /// How long one attempt may take to be answered; of an answer, to begin and to go on.
    pub attempt_limit: Duration,
    /// The longest wait before the second attempt. It doubles with each; how long a wait really is, chance decides.
    pub backoff: Duration,
}

impl Default for Quota {
    /// A half of what OpenAI grants its smallest paying accounts, so that several processes get along.
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

/// An embedding model of an endpoint, with all that changes its vectors. As text it is what stands beside the vectors: the model's name, and
/// behind it `:512` if it is asked for fewer dimensions than it has by nature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmbeddingModel {
    name: String,
    dimensions: u32,
}

impl EmbeddingModel {
    /// A model and how many dimensions its vectors have.
    pub fn new(name: &str, dimensions: u32) -> Result<Self, ConfigError> {
        check_name(name)?;
        if dimensions == 0 || dimensions > DIMENSIONS_MAX {
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

    /// As the endpoint knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Of its vectors.
    pub fn dimensions(&self) -> u32 {
        self.dimensions
    }

    /// What the endpoint must be asked for, if not for what the model gives by nature.
    pub(crate) fn asked_dimensions(&self) -> Option<u32> {
        native_dimensions(&self.name)
            .filter(|native| *native != self.dimensions)
            .map(|_| self.dimensions)
    }
}

impl fmt::Display for EmbeddingModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.asked_dimensions() {
            Some(dimensions) => write!(formatter, "{}:{dimensions}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

impl FromStr for EmbeddingModel {
    type Err = ConfigError;

    /// Reads a name as it stands beside vectors. Only of models with a known number of dimensions.
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

/// What OpenAI's models give if they are not asked for less. Only these two can be asked.
fn native_dimensions(name: &str) -> Option<u32> {
    match name {
        "text-embedding-3-small" => Some(1_536),
        "text-embedding-3-large" => Some(3_072),
        _ => None,
    }
}

/// The model on this machine: all-MiniLM-L6-v2, or one of its form.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// The folder with [`LOCAL_MODEL_FILES`].
    pub folder: PathBuf,
    /// Batches of documents that run at once. Questions do not wait for them.
    pub concurrency: usize,
    /// The 90 MB it takes are given back when nothing was asked for so long.
    pub idle_limit: Duration,
}

impl LocalConfig {
    /// The model in this folder, one batch at a time, kept for ten minutes.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self {
            folder: folder.as_ref().to_owned(),
            concurrency: 1,
            idle_limit: Duration::from_mins(10),
        }
    }
}

/// A configuration that nothing can be made of.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither an endpoint with a model for embeddings nor a model on this machine.
    #[error(
        "no model for embeddings: give an endpoint with its key, or the folder of a local model"
    )]
    NoEmbeddings,
    /// The endpoint's URL cannot be one.
    #[error(
        "the endpoint's URL must begin with http:// or https:// and have no query, user or password"
    )]
    BaseUrl,
    /// The key has characters that no header can carry.
    #[error("the endpoint's key has characters that cannot be sent, such as line ends")]
    ApiKey,
    /// A model's name that cannot be one.
    #[error("a model's name has 1 to 200 visible characters")]
    ModelName,
    /// Dimensions that the model does not have.
    #[error("the number of dimensions is not one that the embedding model has")]
    Dimensions,
    /// A quota of nothing.
    #[error(
        "requests, tokens, concurrency, attempts and the attempts' limit must all be more than 0"
    )]
    Quota,
    /// A file of the local model is missing.
    #[error("the local model's folder lacks {0}")]
    LocalFile(&'static str),
    /// No HTTP client can be made.
    #[error("no HTTP client can be made")]
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
        let is_something = quota.requests_per_minute > 0
            && quota.tokens_per_minute > 0
            && quota.concurrency > 0
            && quota.attempts > 0
            && !quota.attempt_limit.is_zero();
        if is_something {
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
