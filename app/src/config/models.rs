//! Settings of the models.

use std::num::NonZeroU32;
use std::path::PathBuf;

use llm::{EmbeddingModel, EndpointConfig, LocalConfig, ModelsConfig, Quota};
use secrecy::SecretString;
use service_kit::settings::values as common;
use url::Url;

use super::values;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Models")]
pub struct Models {
    /// Base URL of the OpenAI-compatible endpoint for embeddings and answers
    #[arg(long, value_name = "URL", default_value = "https://api.openai.com/v1", value_parser = common::http_url)]
    pub openai_base_url: Url,
    /// the API key of the endpoint; without it, the local model creates the embeddings, and answers are
    /// excerpts from the documents
    #[arg(long, hide = true, env = "OPENAI_API_KEY", value_parser = values::secret)]
    pub openai_api_key: Option<SecretString>,
    /// Model that generates the answers
    #[arg(long, value_name = "MODEL", default_value = "gpt-4o-mini", value_parser = values::word)]
    pub chat_model: String,
    /// Maximum number of tokens of an answer, from 100 to 32000. An answer also ends after 2 minutes. Users
    /// can continue an answer that reached the maximum
    #[arg(long, value_name = "TOKENS", default_value = "2000", value_parser = common::number::<NonZeroU32>(100..=32_000))]
    pub max_answer_tokens: NonZeroU32,
    /// Model that creates the embeddings. After a change, the app re-embeds every document in the
    /// background
    #[arg(long, value_name = "MODEL", default_value = "text-embedding-3-small", value_parser = values::word)]
    pub embedding_model: String,
    /// Dimensions of the embedding model's vectors, from 1 to 4000
    #[arg(long, value_name = "DIMENSIONS", default_value = "1536", value_parser = common::count(4000))]
    pub embedding_dimensions: NonZeroU32,
    /// Maximum number of requests per minute from this process to the endpoint
    #[arg(long, value_name = "REQUESTS", default_value = "1500", value_parser = common::count(1_000_000))]
    pub openai_requests_per_minute: NonZeroU32,
    /// Maximum number of tokens per minute that this process embeds, from 1000 to 1000000000
    #[arg(long, value_name = "TOKENS", default_value = "500000", value_parser = common::number::<NonZeroU32>(1000..=1_000_000_000))]
    pub openai_tokens_per_minute: NonZeroU32,
    /// Directory of a local embedding model with model.safetensors, tokenizer.json and config.json
    #[arg(long, value_name = "DIR", value_parser = common::directory)]
    pub local_model: Option<PathBuf>,
}

impl Models {
    /// The settings of the models, for the crate `llm`.
    pub fn config(&self) -> Result<ModelsConfig, llm::ConfigError> {
        let embeddings =
            EmbeddingModel::new(&self.embedding_model, self.embedding_dimensions.get())?;
        let endpoint = self.openai_api_key.clone().map(|api_key| EndpointConfig {
            base_url: self.openai_base_url.clone(),
            api_key: Some(api_key),
            embeddings: Some(embeddings),
            answers: Some(self.chat_model.clone()),
            quota: Quota {
                requests_per_minute: self.openai_requests_per_minute.get(),
                tokens_per_minute: self.openai_tokens_per_minute.get(),
                ..Quota::default()
            },
        });
        let local = self.local_model.clone().map(LocalConfig::new);
        Ok(ModelsConfig { endpoint, local })
    }
}
