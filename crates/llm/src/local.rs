//! The local embedding model: all-MiniLM-L6-v2 on the CPU, so that no account is needed.
//!
//! The model is loaded on first use and unloaded when idle. Batches run on blocking threads. Their
//! number is limited, with one slot reserved for questions. A text that exceeds the model's input
//! length is embedded in windows, and its vector is their mean.

mod bert;
mod encoder;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use crate::config::LocalConfig;
use crate::error::{LocalModelError, ModelError};
use crate::purpose::Purpose;
use bert::Bert;

pub(crate) const DIMENSIONS: usize = 384;

pub(crate) struct LocalModel {
    config: LocalConfig,
    loaded: AsyncMutex<Option<Arc<Bert>>>,
    last_used: Mutex<Instant>,
    documents: Semaphore,
    questions: Semaphore,
}

impl LocalModel {
    pub(crate) fn new(config: LocalConfig) -> Self {
        Self {
            loaded: AsyncMutex::new(None),
            last_used: Mutex::new(Instant::now()),
            documents: Semaphore::new(config.concurrency),
            questions: Semaphore::new(1),
            config,
        }
    }

    pub(crate) async fn embed(
        self: &Arc<Self>,
        texts: Vec<String>,
        purpose: Purpose,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let slots = match purpose {
            Purpose::Document => &self.documents,
            Purpose::Question => &self.questions,
        };
        let model = self.model().await?;
        let windows = {
            let model = model.clone();
            blocking(move || model.windows(&texts)).await?
        };
        let mut sums = windows.sums();
        for batch in windows.batches() {
            let _slot = slots.acquire().await;
            let model = model.clone();
            let (batch, vectors) = blocking(move || {
                let vectors = model.forward(&batch)?;
                Ok((batch, vectors))
            })
            .await?;
            sums.add(&batch, &vectors);
            self.touch();
        }
        Ok(sums.normalized())
    }

    async fn model(self: &Arc<Self>) -> Result<Arc<Bert>, ModelError> {
        self.touch();
        let mut loaded = self.loaded.lock().await;
        if let Some(model) = &*loaded {
            return Ok(model.clone());
        }
        let folder = self.config.folder.clone();
        let started = Instant::now();
        let model = Arc::new(blocking(move || Bert::load(&folder)).await?);
        tracing::info!(
            elapsed_ms = started.elapsed().as_millis(),
            "local embedding model loaded"
        );
        *loaded = Some(model.clone());
        tokio::spawn(unload_when_idle(Arc::downgrade(self)));
        Ok(model)
    }

    fn touch(&self) {
        *self.last_used.lock() = Instant::now();
    }

    fn idle_at(&self) -> Instant {
        *self.last_used.lock() + self.config.idle_limit
    }
}

async fn unload_when_idle(model: Weak<LocalModel>) {
    loop {
        let Some(idle_at) = model.upgrade().map(|model| model.idle_at()) else {
            return;
        };
        sleep_until(idle_at).await;
        let Some(model) = model.upgrade() else {
            return;
        };
        let mut loaded = model.loaded.lock().await;
        if model.idle_at() <= Instant::now() {
            *loaded = None;
            tracing::info!("idle local embedding model unloaded");
            return;
        }
    }
}

async fn blocking<Value: Send + 'static>(
    work: impl FnOnce() -> Result<Value, LocalModelError> + Send + 'static,
) -> Result<Value, ModelError> {
    match spawn_blocking(work).await {
        Ok(outcome) => Ok(outcome?),
        Err(error) if error.is_cancelled() => Err(LocalModelError::Stopping.into()),
        Err(_) => Err(LocalModelError::Computation.into()),
    }
}
