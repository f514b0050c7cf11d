//! Waits for a condition with a timeout. The error shows the actual state.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::timeouts;

/// Watches an object until `condition` holds for it, or for its absence. Returns the object.
/// `description` completes the sentence "the object is not ...".
pub async fn until<K>(
    api: &Api<K>,
    name: &str,
    timeout: Duration,
    description: &str,
    mut condition: impl FnMut(Option<&K>) -> bool,
) -> Result<Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
    K::DynamicType: Default,
{
    let mut last: Option<K> = None;
    let watching = async {
        let mut states = std::pin::pin!(watcher::watch_object(api.clone(), name));
        while let Some(state) = states.next().await {
            // The watcher reconnects after an error; a deleted object is reported as `None`.
            let Ok(state) = state else {
                tokio::time::sleep(timeouts::POLL_INTERVAL).await;
                continue;
            };
            if condition(state.as_ref()) {
                return state;
            }
            last = state;
        }
        None
    };
    match tokio::time::timeout(timeout, watching).await {
        Ok(state) => Ok(state),
        Err(_) => bail!(
            "{} {name} is not {description} after {} s; its state: {}",
            K::kind(&K::DynamicType::default()),
            timeout.as_secs(),
            last.as_ref()
                .map_or_else(|| "it does not exist".to_owned(), short)
        ),
    }
}

fn short<K: Serialize>(object: &K) -> String {
    let value = serde_json::to_value(object).unwrap_or_default();
    let status = &value["status"];
    let shown = if status.is_null() {
        &value["metadata"]
    } else {
        status
    };
    serde_yaml::to_string(shown).unwrap_or_default()
}

/// Polls state that cannot be watched until `probe` returns a value. Errors are retried.
pub async fn poll<T, F>(timeout: Duration, what: &str, mut probe: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let started = Instant::now();
    loop {
        match probe().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) if started.elapsed() > timeout => {
                bail!("timed out after {} s waiting for {what}", timeout.as_secs())
            }
            Err(error) if started.elapsed() > timeout => {
                return Err(error.context(format!(
                    "timed out after {} s waiting for {what}",
                    timeout.as_secs()
                )));
            }
            Ok(None) | Err(_) => tokio::time::sleep(timeouts::POLL_INTERVAL).await,
        }
    }
}

/// Polls until `probe` returns a value. For tests that fail by a panic.
///
/// # Panics
///
/// If there is no value within [`timeouts::CONDITION`].
pub async fn until_some<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        let elapsed = started.elapsed();
        assert!(
            elapsed < timeouts::CONDITION,
            "timed out after {} s waiting for {what}",
            elapsed.as_secs()
        );
        tokio::time::sleep(timeouts::POLL_INTERVAL).await;
    }
}

/// Polls until the condition holds, as [`until_some`].
pub async fn until_true<F>(what: &str, mut holds: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    until_some(what, || {
        let holds = holds();
        async { holds.await.then_some(()) }
    })
    .await;
}

/// Polls for the whole period, and fails as soon as `probe` returns a violation.
pub async fn never<F>(period: Duration, what: &str, mut probe: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = Result<Option<String>>>,
{
    let started = Instant::now();
    while started.elapsed() < period {
        if let Some(violation) = probe().await? {
            bail!("{what}: {violation}");
        }
        tokio::time::sleep(timeouts::POLL_INTERVAL).await;
    }
    Ok(())
}
