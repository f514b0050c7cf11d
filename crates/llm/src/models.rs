//! All models of a process.

use std::sync::Arc;

use crate::answer::Answerer;
use crate::config::{ConfigError, LOCAL_MODEL_NAME, ModelsConfig};
use crate::embed::Embedder;
use crate::endpoint::Endpoint;
use crate::local::LocalModel;

/// All models of a process. Made once; nothing is loaded and nothing called before it is asked for.
#[derive(Debug)]
pub struct Models {
    endpoint: Option<Arc<Endpoint>>,
    local: Option<Embedder>,
    embedder: Embedder,
    answerer: Option<Answerer>,
}

impl Models {
    /// Checks the configuration and makes the clients.
    pub fn start(config: ModelsConfig) -> Result<Self, ConfigError> {
        let local = match config.local {
            Some(local) => {
                local.check()?;
                Some(Embedder::local(Arc::new(LocalModel::new(local))))
            }
            None => None,
        };
        let (mut endpoint, mut embedder, mut answerer) = (None, None, None);
        if let Some(config) = config.endpoint {
            let client = Arc::new(Endpoint::new(&config)?);
            embedder = config
                .embeddings
                .map(|model| Embedder::of_endpoint(client.clone(), model));
            answerer = config
                .answers
                .map(|model| Answerer::new(client.clone(), model));
            endpoint = Some(client);
        }
        let embedder = embedder
            .or_else(|| local.clone())
            .ok_or(ConfigError::NoEmbeddings)?;
        Ok(Self {
            endpoint,
            local,
            embedder,
            answerer,
        })
    }

    /// What new documents are embedded with.
    pub fn embedder(&self) -> &Embedder {
        &self.embedder
    }

    /// The embedder that made vectors of this name, if it can still be had: the current one, the local model, or another model of the endpoint
    /// whose dimensions are known.
    pub fn embedder_named(&self, name: &str) -> Option<Embedder> {
        if self.embedder.name() == name {
            return Some(self.embedder.clone());
        }
        if name == LOCAL_MODEL_NAME {
            return self.local.clone();
        }
        let endpoint = self.endpoint.as_ref()?;
        Some(Embedder::of_endpoint(endpoint.clone(), name.parse().ok()?))
    }

    /// What writes answers; `None`: answers are extracts.
    pub fn answerer(&self) -> Option<&Answerer> {
        self.answerer.as_ref()
    }
}
