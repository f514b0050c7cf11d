//! All models of a process. Nothing is loaded or requested until it is needed.

use std::sync::Arc;

use crate::chat_model::ChatModel;
use crate::config::{ConfigError, LOCAL_MODEL_NAME, ModelsConfig};
use crate::embed::Embedder;
use crate::endpoint::Endpoint;
use crate::local::LocalModel;

/// All models of a process. Nothing is loaded or requested until it is needed.
#[derive(Debug)]
pub struct Models {
    endpoint: Option<Arc<Endpoint>>,
    local: Option<Embedder>,
    embedder: Embedder,
    chat_model: Option<ChatModel>,
}

impl Models {
    /// Validates the configuration and creates the clients.
    pub fn new(config: ModelsConfig) -> Result<Self, ConfigError> {
        let local = match config.local {
            Some(local) => {
                local.check()?;
                Some(Embedder::local(Arc::new(LocalModel::new(local))))
            }
            None => None,
        };
        let (mut endpoint, mut embedder, mut chat_model) = (None, None, None);
        if let Some(config) = config.endpoint {
            let client = Arc::new(Endpoint::new(&config)?);
            embedder = config
                .embeddings
                .map(|model| Embedder::from_endpoint(client.clone(), model));
            chat_model = config
                .answers
                .map(|model| ChatModel::new(client.clone(), model));
            endpoint = Some(client);
        }
        let embedder = embedder
            .or_else(|| local.clone())
            .ok_or(ConfigError::NoEmbeddings)?;
        Ok(Self {
            endpoint,
            local,
            embedder,
            chat_model,
        })
    }

    /// Returns the embedder for new documents.
    pub fn embedder(&self) -> &Embedder {
        &self.embedder
    }

    /// Returns the embedder that created vectors with this name, if it is available: the current
    /// one, the local model, or another model of the endpoint with known dimensions.
    pub fn embedder_named(&self, name: &str) -> Option<Embedder> {
        if self.embedder.name() == name {
            return Some(self.embedder.clone());
        }
        if name == LOCAL_MODEL_NAME {
            return self.local.clone();
        }
        let endpoint = self.endpoint.as_ref()?;
        Some(Embedder::from_endpoint(
            endpoint.clone(),
            name.parse().ok()?,
        ))
    }

    /// Returns the model that writes answers. `None` if answers are extractive.
    pub fn chat_model(&self) -> Option<&ChatModel> {
        self.chat_model.as_ref()
    }
}
