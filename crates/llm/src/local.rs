//! The model on this machine: all-MiniLM-L6-v2 on the CPU, so that nothing needs an account.
//!
//! It is loaded when it is first asked and given back when it has been idle. A batch runs on a blocking thread; how many do at once is bounded, with
//! a place kept for questions. A text longer than the model reads is embedded in windows, whose mean it gets.

mod bert;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use crate::config::LocalConfig;
use crate::embed::Purpose;
use crate::error::{LocalModelError, ModelError};
use bert::Bert;

/// Of its vectors.
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
        let places = match purpose {
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
            let _place = places.acquire().await;
            let model = model.clone();
            let (batch, vectors) = blocking(move || {
                let vectors = model.forward(&batch)?;
                Ok((batch, vectors))
            })
            .await?;
            sums.add(&batch, &vectors);
            self.touch();
        }
        Ok(sums.normalised())
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
            "The local embedding model was loaded in {} ms",
            started.elapsed().as_millis()
        );
        *loaded = Some(model.clone());
        tokio::spawn(give_back_when_idle(Arc::downgrade(self)));
        Ok(model)
    }

    fn touch(&self) {
        *self
            .last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle_at(&self) -> Instant {
        *self
            .last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            + self.config.idle_limit
    }
}

async fn give_back_when_idle(model: Weak<LocalModel>) {
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
            tracing::info!("The local embedding model was given back, being idle");
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
